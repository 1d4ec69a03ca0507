#!/bin/sh
# Classes by name with curl alone: sh examples/classify.sh photo.jpg [http://localhost:8000]
# The request is a little JSON, then the file's length in four bytes, then the file (Triton's binary tensor data
# extension). The answer has "score:class:name", of Triton's classification extension.
image=${1:-photo.jpg} url=${2:-http://localhost:8000}
size=$(($(wc -c < "$image")))
header='{"inputs":[{"name":"IMAGE","shape":[1,1],"datatype":"BYTES","parameters":{"binary_data_size":'$((size + 4))'}}],
  "outputs":[{"name":"LOGITS","parameters":{"classification":5}}]}'
length=$(printf '\\%03o' $((size & 255)) $((size >> 8 & 255)) $((size >> 16 & 255)) $((size >> 24)))
{ printf %s "$header"; printf "$length"; cat "$image"; } |
  curl -s "$url/v2/models/classify/infer" -H "Inference-Header-Content-Length: ${#header}" --data-binary @-
