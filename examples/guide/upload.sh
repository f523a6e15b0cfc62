#!/bin/sh
# Make the stage and fill it: ./upload.sh FOLDER
set -eu
stenopool stage create --if-not-exists AUDIO_DB.TRANSCRIPTION.RECORDINGS
stenopool put "$1" @AUDIO_DB.TRANSCRIPTION.RECORDINGS --recursive
stenopool ls @AUDIO_DB.TRANSCRIPTION.RECORDINGS | tail -3
