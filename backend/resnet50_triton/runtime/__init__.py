"""What the kernel model does with requests: rings of buffers, deadlines, recovery, metrics. Knows no Triton.

requests.py ──jobs──► pool.py ──filled buffers──► worker.py (one thread a card) ──answers──► requests.py
 │ alone.py  is one client waited for?             │ lease.py     who may use the card now
                                                   │ ahead.py     when is a batch queued?
                                                   │ selftest.py    is the card right?
                                                   │ curve.py     how long may a start take?
                                                   └ metrics.py     what is told on /metrics
"""
