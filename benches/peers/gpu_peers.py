"""PyTorch's time for the cases of the `roofline` benchmark, on the same card: `python3 benches/peers/gpu_peers.py`.

Every case is what one would write in PyTorch with its fastest parts: fused kernels, bf16 products, the loss both eager
and compiled. Times are medians of CUDA events over 50 runs, after ten that warm up.
"""

import statistics

import torch
import torch.nn.functional as F

CUDA = torch.device("cuda:0")


def time(run):
    for _ in range(10):
        run()
    times = []
    for _ in range(50):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) * 1e3)
    return statistics.median(times)


def zipf(rows, count):
    """Ids as frequent as 1 / rank."""
    weights = 1.0 / torch.arange(1, rows + 1, device=CUDA, dtype=torch.float64)
    cumulated = weights.cumsum(0)
    return torch.searchsorted(cumulated, torch.rand(count, device=CUDA, dtype=torch.float64) * cumulated[-1]).clamp_(
        max=rows - 1
    )


def parameter(*shape, dtype=torch.float32, scale=0.1):
    return (torch.randn(*shape, device=CUDA) * scale).to(dtype).requires_grad_()


def softmax(users, items):
    """In-batch softmax with bf16 products; positives on the diagonal."""
    scores = (users.bfloat16() @ items.bfloat16().T).float() / 0.05
    return F.cross_entropy(scores, torch.arange(len(users), device=CUDA))


def lookups(table, count, dim, dtype, name):
    weight, ids = parameter(table, dim, dtype=dtype), zipf(table, count)
    yield f"embedding_bag_fwd/{name}", lambda: F.embedding(ids, weight.detach())
    sparse = torch.nn.Embedding(table, dim, sparse=True, device=CUDA, dtype=torch.float32)
    optimizer = torch.optim.Adagrad(sparse.parameters(), lr=0.05)
    gradient = torch.randn(count, dim, device=CUDA)
    rows = sparse(ids)

    def step():
        sparse.weight.grad = None
        rows.backward(gradient, retain_graph=True)
        optimizer.step()

    if dtype == torch.float32:
        yield f"embedding_bag_bwd_step/Adagrad (sparse)/{name}", step


def cases():
    table, count, batch = 1 << 20, 65_536, 8_192
    for dim in (64, 128):
        for dtype, tag in ((torch.float32, "Fp32"), (torch.bfloat16, "Bf16")):
            yield from lookups(table, count, dim, dtype, f"V{table}_L{count}_D{dim}_{tag}")
        rows = parameter(batch, dim)

        def norm(rows=rows):
            rows.grad = None
            F.normalize(rows).sum().backward()

        yield f"l2_norm_fwd+bwd/B{batch}_D{dim}", norm
        users, items = parameter(batch, dim), parameter(batch, dim)
        for name, loss in (("eager", softmax), ("compiled", torch.compile(softmax))):

            def both(users=users, items=items, loss=loss):
                users.grad = items.grad = None
                loss(users, items).backward()

            yield f"softmax_loss/B{batch}_C{batch}_D{dim} ({name})", both
        queries, catalogue = torch.randn(1024, dim, device=CUDA), torch.randn(1 << 20, dim, device=CUDA)
        low = catalogue.bfloat16()
        yield (
            f"topk/Q1024_N{1 << 20}_D{dim}_K100 (bf16 scores, one product)",
            lambda queries=queries, low=low: torch.topk(queries.bfloat16() @ low.T, 100),
        )
        yield (
            f"topk/Q1024_N{1 << 20}_D{dim}_K100 (fp32 scores, exact)",
            lambda queries=queries, catalogue=catalogue: torch.topk(queries @ catalogue.T, 100),
        )
    x, layer = torch.randn(batch, 512, device=CUDA).bfloat16(), torch.nn.Linear(512, 256, device=CUDA).bfloat16()
    yield f"linear_fwd/B{batch}_512_256", lambda: layer(x)
    gradient = torch.randn(batch, 256, device=CUDA).bfloat16()
    x.requires_grad_()

    def linear():
        x.grad = layer.weight.grad = layer.bias.grad = None
        layer(x).backward(gradient)

    yield f"linear_fwd+bwd/B{batch}_512_256", linear
    dense = parameter(1 << 22)
    dense.grad = torch.randn_like(dense)
    adam = torch.optim.Adam([dense], fused=True)
    yield f"dense_step/Adam/{1 << 22}", adam.step
    towers = [torch.nn.Embedding(1 << 18, 64, sparse=True, device=CUDA) for _ in range(2)]
    optimizer = torch.optim.Adagrad([t.weight for t in towers], lr=0.05)
    ids = [zipf(1 << 18, batch) for _ in towers]
    loss = torch.compile(softmax)

    def train():
        optimizer.zero_grad()
        loss(*(tower(i) for tower, i in zip(towers, ids, strict=True))).backward()
        optimizer.step()

    yield f"training_step/Adagrad/B{batch}_D64", train


def main():
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}")
    print("| case | time, us |")
    print("|---|---|")
    for name, run in cases():
        print(f"| {name} | {time(run):.1f} |", flush=True)


if __name__ == "__main__":
    main()
