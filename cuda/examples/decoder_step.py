"""A decoder of one's own in PyTorch: hidden states and logits never leave the GPU.

    python decoder_step.py [path of librtd.so]

The "model" knows nothing: it looks a token's hidden state up in a table of random numbers, and its head is random as well. The reference holds one
sentence, as (hidden state of a token, token that followed). Merged with weight 0.9 the decoder recites that sentence.
"""

import sys

import torch

from rtd_ctypes import F16, F32, Index, Library, Matrix, Plan

DIM, VOCABULARY = 256, 5000
SENTENCE = [17, 4, 2048, 3, 999, 4242, 8, 15, 1606, 2]
DTYPES = {torch.float32: F32, torch.float16: F16}


def matrix_of(tensor):
    """A tensor [rows, columns] whose rows are contiguous; it must outlive whatever uses the matrix."""
    rows, columns = tensor.shape
    assert tensor.stride(1) == 1, "the elements of a row lie one behind the other"
    return Matrix(tensor.data_ptr(), rows, columns, tensor.stride(0), DTYPES[tensor.dtype])


def main():
    if not torch.cuda.is_available():
        sys.exit("there is no CUDA device here")
    torch.manual_seed(1)
    stream = torch.cuda.Stream()
    table = torch.randn(VOCABULARY, DIM, dtype=torch.float16)
    keys = table[SENTENCE[:-1]]

    index = Index(Library(*sys.argv[1:2]), DIM)
    index.add(matrix_of(keys), SENTENCE[1:])
    plan = Plan(index, max_rows=1, max_k=4, vocabulary=VOCABULARY, stream=stream.cuda_stream)
    plan.set_rows(k=4, reference_weight=0.9, temperature=1.0)

    with torch.cuda.stream(stream):
        table, head = table.cuda(), 0.05 * torch.randn(DIM, VOCABULARY, dtype=torch.float16, device="cuda")
        recited = SENTENCE[:1]
        for _ in SENTENCE[1:]:
            hidden = table[recited[-1:]]
            logits = hidden @ head
            plan.enqueue(matrix_of(hidden), matrix_of(logits))
            recited.append(int(logits.argmax()))  # waits for the stream
    plan.close()
    index.close()
    print(*recited)
    sys.exit(0 if recited == SENTENCE else "this is not the sentence")


main()
