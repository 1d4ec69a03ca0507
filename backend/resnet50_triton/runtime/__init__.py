"""A card at work: requests in, batches on the cards, results out. Knows no Triton.

instance.py    the cards of one model instance, opened and closed together
scheduler.py   which card gets a request; requests of a card that failed
queue.py       a card's state, batches and buffers: all that two threads touch, under one lock
worker.py      the thread of a card: serve until it fails, recover, serve again
session.py     the lease on a card and the kernel on it          lease.py     who may use a card now
kernel.py      PYNQ's calls                                      selftest.py  is the card right?
latency.py     how long a run takes                              clock.py     time and threads
job.py         a request      batch.py  what is run at once      pixels.py    copies into the buffers
metrics.py     what is counted      exporter.py  once a second to /metrics
"""
