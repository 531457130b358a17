#!/usr/bin/env bash
# Check this machine's GPU: the tests marked gpu, then two alignments on CUDA (about two minutes), with their figures.
#   tools/gpu_check.sh [FOLDER]      results go to FOLDER (default: results-gpu)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
results=${1:-results-gpu}
override="{\"results\": \"$results\", \"device\": \"cuda\"}"

nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader
python -c 'import torch; assert torch.cuda.is_available(), "torch sees no CUDA device"; print("torch", torch.__version__)'
python -m pytest -q -m gpu tests
for run in "digits papa likes-1479" "fruits papa-q0.5 apple"; do
    read -r task method user <<<"$run"
    python -m papa align --task "$task" --method "$method" --user "$user" --seeds 0 --override "$override"
    python - "$results/$task/runs/$method/$user/seed0/run.json" <<'PYTHON'
import json, sys
run = json.load(open(sys.argv[1], encoding="utf-8"))
print({key: run[key] for key in ("device", "seconds", "peak_memory_mib") if key in run})
PYTHON
done
