"""What every folder of tests may use: servers that start once a session, on first use."""

from __future__ import annotations

import os
from uuid import uuid4

import hypothesis
import pytest

import servers

# How long one example takes is the machine's affair; `timeout` ends a test that hangs.
hypothesis.settings.register_profile("stenopool", deadline=None)
hypothesis.settings.load_profile("stenopool")


@pytest.fixture(scope="session")
def s3_endpoint():
    """The URL of a real S3 server over HTTP; the environment of this session names it."""
    import s3fs

    settings = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    with servers.s3_server() as url, pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items() | {("AWS_ENDPOINT_URL", url)}:
            patch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()  # one made before would keep its settings
        yield url


@pytest.fixture
def bucket(s3_endpoint):
    """A fresh, empty bucket's name on that server."""
    import s3fs

    name = f"test-{uuid4().hex[:12]}"
    s3fs.S3FileSystem().mkdir(name)
    return name


@pytest.fixture(scope="session")
def postgres_server():
    """The URL of a real PostgreSQL server, without a database's name."""
    if servers.postgres_binary("initdb") is None:
        if os.environ.get("CI"):
            pytest.fail("PostgreSQL is not installed; run: apt-get install postgresql")
        pytest.skip("PostgreSQL is not installed; run: apt-get install postgresql")
    with servers.postgres_server() as url:
        yield url


@pytest.fixture
def postgres_url(postgres_server):
    """The URL of a place on that server where nothing is: a schema, cheaper than a database."""
    import sqlalchemy

    name = f"test_{uuid4().hex[:12]}"
    engine = sqlalchemy.create_engine(f"{postgres_server}/postgres")
    with engine.begin() as connection:
        connection.execute(sqlalchemy.schema.CreateSchema(name))
    engine.dispose()
    return f"{postgres_server}/postgres?options=-csearch_path%3D{name}"


@pytest.fixture(scope="session")
def ray_cluster(s3_endpoint):
    """This session's Ray; its workers know the S3 server, since they inherit the environment."""
    import ray

    from stenopool.distributed.cluster import start_ray

    start_ray(None)
    yield
    ray.shutdown()
