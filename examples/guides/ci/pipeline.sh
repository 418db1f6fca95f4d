#!/bin/sh
# What a pipeline runs: `pipeline.sh plan` for a merge request, `pipeline.sh apply` on the main branch.
# IPAM_ENDPOINT and IPAM_API_KEY come from the pipeline's secrets.
set -eu

export TF_IN_AUTOMATION=1

case ${1:?plan or apply} in
  init)
    terraform init -input=false
    ;;
  plan)
    # 0: nothing to do, 2: there are changes, 1: it failed.
    terraform plan -input=false -lock-timeout=5m -out=tfplan -detailed-exitcode && code=0 || code=$?
    if [ "$code" = 1 ]; then exit 1; fi
    ;;
  apply)
    # An apply that was interrupted is repeated: it takes over what it has made and makes the rest.
    terraform apply -input=false -lock-timeout=5m tfplan
    # And must then have nothing left to do.
    terraform plan -input=false -lock-timeout=5m -detailed-exitcode
    ;;
esac
