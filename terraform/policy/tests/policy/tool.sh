#!/usr/bin/env bash
# Replaces every tool that needs a cloud, a registry or minutes: records its call, and returns or refuses what the real
# one would. $CLOUD is the folder that the fake providers remember the cloud in.
set -eu
name=$(basename "$0")
echo "$name $*" >>"$CALLS"
refuse() { echo "$name: $*" >&2; exit 1; }
digest() { printf 'sha256:%s' "$(printf %s "$1" | sha256sum | cut -d ' ' -f 1)"; }
# the value that follows an argument
after() { # ARGUMENT ARGUMENTS…
    local wanted=$1
    shift
    while [ $# -gt 1 ]; do [ "$1" != "$wanted" ] || { echo "$2"; return; }; shift; done
}
# An API is unknown to the first two requests after it was enabled, unless the file `api-delay` says otherwise.
known() { # API
    echo >>"$CLOUD/requests.$1"
    if [ "$(wc -l <"$CLOUD/requests.$1")" -le "$(cat "$CLOUD/api-delay" 2>/dev/null || echo 2)" ]; then
        echo "PERMISSION_DENIED: API [$1.googleapis.com] has not been used in project 123456789012 before or it is disabled." \
            "If you enabled this API recently, wait a few minutes for the action to propagate to our systems and retry." \
            "reason: SERVICE_DISABLED"
        return 1
    fi
}

case "$name $*" in
    "gcloud iam workload-identity-pools list "* | "gcloud kms keyrings list "*)
        refusal=$(known "$1") || refuse "ERROR: (gcloud) $refusal" ;;
esac
case "$name $*" in
    "gcloud auth print-access-token"* | "gcloud auth application-default print-access-token"*)
        case $2 in "${SIGNED_OUT:-}") exit 1 ;; esac
        echo token ;;
    "gcloud auth application-default login"*)
        # without a project of gcloud's, the credentials have no quota project
        [ -e "$CLOUD/gcloud-project" ] || refuse "no quota project: gcloud config set project" ;;
    "gcloud config set project"*) touch "$CLOUD/gcloud-project" ;;
    "gcloud storage buckets describe"*)
        [ -z "${STATE_DENIED:-}" ] ||
            refuse "ERROR: (gcloud.storage.buckets.describe) HTTPError 403: you@example.com does not have storage.buckets.get access"
        [ -e "$CLOUD/state" ] || refuse "ERROR: (gcloud.storage.buckets.describe) $4 not found: 404."
        cat "$CLOUD/state" ;;
    "gcloud storage buckets create"*)
        echo 123456789012 >"$CLOUD/state"
        [ -z "${INTERRUPTED:-}" ] || exit 130 ;;
    "gcloud storage buckets update "*" --versioning") echo "123456789012 True" >"$CLOUD/state" ;;
    "gcloud projects describe"*) echo 123456789012 ;;
    "gcloud artifacts docker images describe "*)
        refuse "PERMISSION_DENIED: Permission 'containeranalysis.occurrences.list' denied" ;;
    "gcloud artifacts docker tags list "*)
        for pushed in "$CLOUD/pushed/${5##*/}":*; do
            [ ! -e "$pushed" ] || echo "${pushed##*:} $(cat "$pushed")"
        done ;;
    "gcloud iam workload-identity-pools list "*)
        pool=$(after --filter "$@")
        pool=${pool#name\~/}
        [ ! -e "$CLOUD/pools/${pool%$}" ] || cat "$CLOUD/pools/${pool%$}" ;;
    "gcloud iam workload-identity-pools providers list "*)
        pool=$(after --workload-identity-pool "$@")
        [ "$(cat "$CLOUD/pools/$pool")" = ACTIVE ] || refuse "NOT_FOUND: the pool $pool is deleted"
        [ ! -e "$CLOUD/pools/$pool.github" ] || cat "$CLOUD/pools/$pool.github" ;;
    "gcloud iam workload-identity-pools undelete "*) printf ACTIVE >"$CLOUD/pools/$4" ;;
    "gcloud iam workload-identity-pools providers undelete "*)
        printf ACTIVE >"$CLOUD/pools/$(after --workload-identity-pool "$@").$5" ;;
    "gcloud kms keyrings list "*)
        ring=$(after --filter "$@")
        ring=${ring#name\~/}
        [ ! -e "$CLOUD/kms/${ring%$}" ] || echo "projects/demo-export/locations/$(after --location "$@")/keyRings/${ring%$}" ;;
    "gcloud kms keys list "*)
        ring=$(after --keyring "$@")
        [ ! -e "$CLOUD/kms/${ring##*/}.hub-tokens" ] || echo "$ring/cryptoKeys/hub-tokens" ;;
    "gcloud services api-keys list"*) [ ! -e "$CLOUD/api-key" ] || echo projects/1/locations/global/keys/2 ;;
    "gcloud services api-keys create"*) touch "$CLOUD/api-key" ;;
    "gcloud services api-keys get-key-string"*) echo key ;;
    "docker info") [ -z "${DAEMON_DOWN:-}" ] ;;
    "docker push "* | "podman push "*)
        image=${!#}
        image=${image#*export-service/}
        mkdir -p "$CLOUD/pushed"
        # the tag moves to what was pushed
        digest "$image" >"$CLOUD/pushed/$image"
        case $name in
            podman) cp "$CLOUD/pushed/$image" "$(after --digestfile "$@")" ;;
            docker)
                echo "The push refers to repository [${!#}]"
                echo "${image#*:}: digest: $(cat "$CLOUD/pushed/$image") size: 856" ;;
        esac ;;
    "cargo build "*)
        mkdir -p "$CARGO_TARGET_DIR/x86_64-unknown-linux-musl/release"
        for bin in health list create get cancel plan export-job; do
            printf '#!/bin/sh\n' >"$CARGO_TARGET_DIR/x86_64-unknown-linux-musl/release/$bin"
        done ;;
    "cargo lambda build "*)
        while [ "$1" != --lambda-dir ]; do shift; done
        for function in health list create get cancel plan; do
            mkdir -p "$2/$function"
            python3 -c 'import sys, zipfile; zipfile.ZipFile(sys.argv[1], "w").writestr("bootstrap", "")' "$2/$function/bootstrap.zip"
        done ;;
    "rustup target list --installed") echo x86_64-unknown-linux-musl ;;
    "firebase login"*) touch "$CLOUD/firebase-login" ;;
    "firebase deploy "*)
        [ -e "$CLOUD/firebase-login" ] || refuse "Error: Failed to authenticate, have you run firebase login?"
        [ "${GOOGLE_CLOUD_QUOTA_PROJECT:-}" = "$(after --project "$@")" ] ||
            refuse "Error: Request had HTTP Error: 403, the API requires a quota project"
        [ -z "${HOSTING_DOWN:-}" ] || refuse "Error: Request to firebasehosting.googleapis.com had HTTP Error: 503"
        config=$(after --config "$@")
        cp "$config" "$CLOUD/firebase.json"
        for made in app-check.json hub-sign-in.json; do
            cp "$(dirname "$config")/public/$made" "$CLOUD/" 2>/dev/null || rm -f "$CLOUD/$made"
        done
        folder=$(dirname "$config")
        case ,$(after --only "$@"), in
            *,hosting,*)
                site=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["hosting"]["site"])' "$config")
                [ -e "$CLOUD/sites/$site" ] || refuse "Error: HTTP Error: 404, Requested entity was not found." ;;
        esac
        case ,$(after --only "$@"), in *,firestore,*)
            # it patches the release, whether or not there is one
            cp "$folder/.firestore.rules" "$CLOUD/rules" ;;
        esac ;;
    "curl "*identitytoolkit.googleapis.com/admin/v2/*)
        if ! refusal=$(known identitytoolkit); then printf '%s\n403' "$refusal"
        elif [ -n "${NO_SIGN_IN_ADMIN:-}" ]; then printf 'PERMISSION_DENIED: identitytoolkit.tenants.get\n403'
        elif [ -e "$CLOUD/identity-platform" ]; then printf '{}\n200'
        else printf 'CONFIGURATION_NOT_FOUND\n404'; fi ;;
    "curl "*identitytoolkit*)
        # a new key is refused for minutes
        echo >>"$CLOUD/sign-ins"
        if [ "$(wc -l <"$CLOUD/sign-ins")" -le 3 ]; then
            echo '{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key."}}'
        else
            echo '{"idToken": "id-token", "localId": "uid"}'
        fi ;;
    "curl "*canary---*)
        url=${!#}
        tag=${url#https://}
        tag=$CLOUD/tag.${tag%%/*}
        # a tag is unknown to the first two requests
        echo >>"$tag"
        [ "$(wc -l <"$tag")" -gt 2 ] || { printf 404; exit; }
        # a setting that the functions cannot work with, as long as it is applied
        if [ -n "${BROKEN_SETTING:-}" ] && grep -q "\"value\": \"$BROKEN_SETTING\"" terraform/terraform.tfstate; then
            printf 500
            exit
        fi
        case $url in
            "${BROKEN:-none}"*) printf 500 ;;
            */health) printf 200 ;;
            */cancel | */plans) if [[ " $* " == *" --data "* ]]; then printf 401; else printf 405; fi ;;
            *) printf 401 ;;
        esac ;;
    "curl "*/health) echo '{"status":"healthy","service":"export"}' ;;
    "terraform "*"providers lock"*) echo '# locked' >terraform/.terraform.lock.hcl ;;
    "terraform "*)
        # the state is a file here, so there is no bucket to name; fake providers are in no lock file
        arguments=()
        for argument in "$@"; do
            [[ $argument == -backend-config=* || $argument == -lockfile=* ]] || arguments+=("$argument")
        done
        # a person answers questions with the lines of the file `answers`
        if [[ " $* " == *" apply "* && " $* " != *" -auto-approve "* && -e $CLOUD/answers ]]; then
            answer=$(head -n 1 "$CLOUD/answers")
            sed -i 1d "$CLOUD/answers"
            exec "$TERRAFORM" "${arguments[@]}" <<<"$answer"
        fi
        exec "$TERRAFORM" "${arguments[@]}" ;;
esac
