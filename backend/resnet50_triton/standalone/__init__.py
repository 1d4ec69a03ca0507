"""What runs a card without Triton, on the same runtime: the original's application and benchmark, and the doctor.

infer.py     images -> classes, accuracy, rate     images.py, pipeline.py, timestamps.py, report.py
bench.py     the kernel alone: rate, latency, power
run.py       a file of pixels -> a file of results
opened.py    a card for them, shared with other processes      default_card.py  which one
doctor/      checks everything that serving needs
"""
