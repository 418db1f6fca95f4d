#!/usr/bin/env bash
# Stands in for kind, docker and kubectl in the tests of deploy/kind.sh: writes down what it is called with, remembers what
# was made in files under STUB_STATE, and fails where the pattern STUB_FAIL says so.
set -euo pipefail
shopt -s extglob

state=${STUB_STATE:?}
call="${0##*/} $*"
printf '%s\n' "$call" >>"$state/calls"

# shellcheck disable=SC2254 # It is a pattern.
case $call in
  ${STUB_FAIL:?}) printf 'stub: no luck with %s\n' "${0##*/}" >&2 && exit 1 ;;
esac

kn='kubectl --context kind-ipam --namespace ipam'
case $call in
  'kind get clusters') [ ! -e "$state/cluster" ] || printf 'ipam-other\nipam\n' ;;
  'kind create cluster '*) touch "$state/cluster" ;;
  'kind delete cluster '*) rm -r "$state/cluster" ;;
  'kubectl '*)
    if ! [[ $call == 'kubectl --context kind-ipam '* && -e $state/cluster ]]; then
      printf 'stub: no such context\n' >&2
      exit 1
    fi
    case $call in
      "$kn get secret "*' --output go-template='*) cat "$state/ipam-key.api-key" ;;
      "$kn get secret "*) [ ! -e "$state/$7" ] || printf 'secret/%s\n' "$7" ;;
      "$kn create secret generic "*)
        if [ -e "$state/$8" ]; then
          printf 'stub: it exists\n' >&2
          exit 1
        fi
        touch "$state/$8"
        for word in "$@"; do
          if [[ $word == --from-file=*=* ]]; then
            word=${word#--from-file=}
            cat "${word#*=}" >"$state/$8.${word%%=*}"
          fi
        done
        ;;
      "$kn get deployment ipam "*) [ ! -e "$state/deployment" ] || printf 'deployment.apps/ipam\n' ;;
      'kubectl --context kind-ipam apply --kustomize '*) touch "$state/deployment" ;;
      "$kn logs "*) printf 'stub: the last words of a pod\n' ;;
    esac
    ;;
esac
