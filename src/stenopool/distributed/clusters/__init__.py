"""Clusters of Ray nodes: started, scaled and ended by this machine, and watched by a keeper.

`control` holds the verbs. A verb writes what is wanted into the cluster's record (`records`); the
cluster's keeper (`keeper`), a process of its own, starts and ends nodes until that is so. Every
node runs under a runner (`node`), which ends when its standard input does, however that comes
about; a provider (`providers`) says how a runner is started: here, or on a host over SSH.
"""
