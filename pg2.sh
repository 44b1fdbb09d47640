cd /work/lab; /work/main/.venv/bin/python dec4.py bfloat16 /work/w/pages 2>&1 | grep -v USDT
