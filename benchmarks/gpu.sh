#!/bin/sh
# The suite on a GPU: Qwen-shaped models in bfloat16, every task beside its peer.
#
#     benchmarks/gpu.sh                    # all of it, a task of a model after another
#     benchmarks/gpu.sh dpo 0.5b           # one, within ten minutes
#     PEERS= benchmarks/gpu.sh             # Plaudit alone
#
# What is in the ledger is not run again: a call that was cut off is made again, and goes on.
# The peers' environments (VENV-trl, VENV-trl-ppo, VENV-vllm) need CUDA builds of torch and vLLM.
set -eu
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python}
VENV=${VENV:-.venv}
PEERS=${PEERS-trl,generate}
DEVICE=${DEVICE:-cuda}
REPEATS=${REPEATS:-2}
SECONDS_A_CALL=${SECONDS_A_CALL:-590}
RUNS=runs/benchmarks
RESULTS=${RESULTS:-benchmarks/RESULTS.md}

one() {
    timeout "$SECONDS_A_CALL" "$PYTHON" benchmarks/run.py --suite --section gpu --device "$DEVICE" \
        --tasks "$1" --models "$2" --precisions bfloat16 --repeats "$REPEATS" \
        --peers "$PEERS" --venv "$VENV" --ledger "$RUNS/gpu-$DEVICE.rows.jsonl" --results "$RESULTS"
}

failed=0
for model in ${2:-0.5b 1.5b}; do
    for task in ${1:-sft reward dpo grpo ppo sample score}; do
        one "$task" "$model" || { echo "$task, $model: failed or cut off; call it again" >&2; failed=1; }
    done
done
exit $failed
