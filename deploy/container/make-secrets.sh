#!/bin/sh
# Make the secrets of compose.yaml, those that are missing. Pixerve's own keys are made by Pixerve.
set -eu
cd "$(dirname "$0")"

# Only the folder's owner gets in; the files inside are for the users of the containers.
umask 077
mkdir -p secrets
if [ ! -e secrets/database_url ]; then
    password=$(od -An -tx1 -N24 /dev/urandom | tr -d ' \n')
    umask 022
    printf '%s' "$password" >secrets/db_password
    printf 'postgres://pixerve:%s@db:5432/pixerve\n' "$password" >secrets/.new
    mv secrets/.new secrets/database_url
    echo "made $PWD/secrets/db_password and database_url"
fi
