#!/bin/sh
# The loop without a scheduler of its own: once a day, each step a command. A gate that refuses
# (exit 3) is an answer, not a failure.
set -eu
framework() {
  python -m framework "+experiment=$EXPERIMENT" "$@" \
    registry.tracking_uri=http://mlflow:5000 'registry.ledger=${oc.env:REGISTRY_URL}' \
    ledger=postgresql 'ledger.url=${oc.env:LEDGER_URL}' feature_store=redis
}
while true; do
  framework run=ingest
  framework run=materialize materialize.incremental=true
  framework run=monitor
  if [ "$(date -u +%u)" = 1 ]; then
    framework run=train
    framework run=promote alias=production || [ $? = 3 ]
  fi
  sleep 86400
done
