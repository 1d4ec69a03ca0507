"""What runs a card without Triton: the original project's application and benchmark, and the doctor.

infer.py    pictures -> classes, accuracy, rate; pipelined      images.py, pipeline.py, stamps.py, report.py
bench.py    the kernel alone: rate, latency, power
run.py      a file of pixels -> a file of results
shared.py   the card for all three, shared with other processes
doctor/     is everything here that serving needs?
"""
