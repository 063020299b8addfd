"""The decoder and the projector as they are trained: a Llama in plain PyTorch, whose weights
export.py writes under Hugging Face's names.

Shapes: B rows, T tokens a row, D width, H heads of size S, V vocabulary.
"""
import math

import torch
import torch.nn.functional as F

WIDTH, LAYERS, HEADS, INNER = 192, 6, 6, 416
NAMED = 3             # after this many layers a token that names something knows what it names,
RELATED = 4           # and after this many how that lies to what was named before
SIZE = WIDTH // HEADS
SEEN = 128            # width of the tower's patch features
BASE = 500000.0
EPSILON = 1e-5
CONTEXT = 1024
# Heads that are shown what to look at where remembered lines are asked about, as (layer, head): at the
# word that the question names, and at what the answer repeats.
FINDS = ((2, 3),)
COPIES = ((4, 3), (5, 3), (5, 4))
SLOW = 6              # pairs of a head from this one on hardly turn within a context


class Half(torch.autograd.Function):
    """x @ w.T with operands rounded to bfloat16, four times as fast where the processor has it."""
    @staticmethod
    def forward(ctx, x, w):
        rows, w = x.reshape(-1, x.shape[-1]).bfloat16(), w.bfloat16()
        ctx.save_for_backward(rows, w)
        return (rows @ w.T).float().view(*x.shape[:-1], w.shape[0])

    @staticmethod
    def backward(ctx, grad):
        rows, w = ctx.saved_tensors
        flat = grad.reshape(-1, grad.shape[-1]).bfloat16()
        return ((flat @ w).float().view(*grad.shape[:-1], w.shape[1]),
                (flat.T @ rows).float())


linear = Half.apply


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()

        def new(*shape):
            return torch.nn.Parameter(torch.randn(shape) / math.sqrt(shape[1]))

        self.q, self.k, self.v = new(WIDTH, WIDTH), new(WIDTH, WIDTH), new(WIDTH, WIDTH)
        self.gate, self.up = new(INNER, WIDTH), new(INNER, WIDTH)
        # Blocks begin as nothing and grow.
        self.o = torch.nn.Parameter(torch.zeros(WIDTH, WIDTH))
        self.down = torch.nn.Parameter(torch.zeros(WIDTH, INNER))
        self.norm1 = torch.nn.Parameter(torch.ones(WIDTH))
        self.norm2 = torch.nn.Parameter(torch.ones(WIDTH))

    def forward(self, x, turn, mask, shown=()):
        """Returns the next state, and of each (head, rows, columns) shown the scores [N,T]."""
        b, t, _ = x.shape
        h = F.rms_norm(x, (WIDTH,), self.norm1, EPSILON)
        qkv = linear(h, torch.cat((self.q, self.k, self.v))).view(b, t, 3 * HEADS, SIZE)
        qk, v = qkv.transpose(1, 2).split((2 * HEADS, HEADS), 1)
        q, k = rotated(qk, turn).bfloat16().split(HEADS, 1)
        score = (q @ k.mT).float() * SIZE ** -0.5 + mask
        scores = [score[rows, head, columns] for head, rows, columns in shown]
        seen = score.softmax(-1).bfloat16() @ v.bfloat16()
        x = x + linear(seen.transpose(1, 2).reshape(b, t, WIDTH), self.o)
        h = F.rms_norm(x, (WIDTH,), self.norm2, EPSILON)
        gate, up = linear(h, torch.cat((self.gate, self.up))).split(INNER, -1)
        return x + linear(F.silu(gate) * up, self.down), scores


def rotated(x, turn):
    """Rotary positions in halves, as in Hugging Face's Llama. x [B,H,T,S]"""
    cos, sin = turn
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


class Decoder(torch.nn.Module):
    def __init__(self, vocabulary):
        super().__init__()
        self.embed = torch.nn.Parameter(torch.randn(vocabulary, WIDTH) * 0.25)
        self.blocks = torch.nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = torch.nn.Parameter(torch.full((WIDTH,), 0.25))
        self.named = torch.nn.Parameter(torch.full((WIDTH,), 0.25))  # for training alone
        self.linear_1 = torch.nn.Linear(SEEN, WIDTH)
        self.linear_2 = torch.nn.Linear(WIDTH, WIDTH)
        angle = torch.outer(torch.arange(CONTEXT),
                            BASE ** (-torch.arange(0, SIZE, 2) / SIZE))
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)
        begin(self)

    def project(self, features):
        """[N,64,SEEN] features of the tower to [N,64,D] tokens."""
        return self.linear_2(F.gelu(self.linear_1(features)))

    def forward(self, x, positions, mask, rows, depth, shown):
        """x [B,T,D] are embedded tokens, positions [B,T], mask [B,1,T,T] to add. The first `rows`
        rows go through all layers, the others through `depth`; `shown` are (layer, head, rows,
        columns). Returns the state of the first rows, in a list that of each layer, and the scores
        of what is shown."""
        turn = self.cos[positions][:, None], self.sin[positions][:, None]
        layers, scores = [], []
        for i, block in enumerate(self.blocks):
            if i == depth:
                x, mask, turn = x[:rows], mask[:rows], [part[:rows] for part in turn]
            x, found = block(x, turn, mask, [s[1:] for s in shown if s[0] == i])
            layers.append(x)
            scores += found
        return x, layers, scores

    def names(self, x):
        """What tokens in the middle of the layers tell, as logits of words, [N,D] to [N,V]."""
        return linear(F.rms_norm(x, (WIDTH,), self.named, EPSILON), self.embed)

    def logits(self, x):
        return linear(F.rms_norm(x, (WIDTH,), self.norm, EPSILON), self.embed)


@torch.no_grad()
def begin(net):
    """What the first heads begin as; all of it is trained on.

    A small Transformer is slow to find how to look things up: nothing improves until a head that
    finds and a head that copies both exist. So some begin there (compare Trockman and Kolter 2023,
    "Mimetic initialization of self-attention layers", and Olsson et al. 2022, "In-context learning
    and induction heads"):

      layer 0  head 0 looks at the token before it and copies a code of it
               heads 1 and 2 look for their own content
      layer 1  heads 0 and 1 look for tokens before which stood what stands here
               heads 2 and 3 look for their own content
               head 4 looks at the few tokens before it
      after    heads 0 to 4 look for their own content

    and all of these copy what they find. One place of every embedding is the same at first: that is
    what a head that goes by position alone has to go by.
    """
    net.embed[:, 0] = 1.0
    net.linear_2.bias[0] = 1.0
    pairs = torch.arange(SIZE // 2)
    slow = torch.cat((pairs[SLOW:], pairs[SLOW:] + SIZE // 2))

    def fresh():
        return torch.nn.init.orthogonal_(torch.empty(WIDTH, WIDTH)).split(SIZE)

    def rows(head):
        return slice(head * SIZE, (head + 1) * SIZE)

    def copies(block, head, code, gain):
        block.v[rows(head)] = code
        block.o[:, rows(head)] = code.T * gain

    def own(block, head, find, copy):
        block.q[rows(head)][slow] = find[slow]
        block.k[rows(head)][slow] = find[slow]
        copies(block, head, copy, 0.3)

    def before(block, head, distance, used, gain):
        """Looks at the token this far before it; the slower the pairs used, the wider around."""
        turn = distance * BASE ** (-used * 2 / SIZE)
        block.q[rows(head)], block.k[rows(head)] = 0.0, 0.0
        block.q[used + head * SIZE, 0] = gain
        block.k[used + head * SIZE, 0] = gain * turn.cos()
        block.k[used + head * SIZE + SIZE // 2, 0] = gain * turn.sin()

    codes, marks = fresh(), fresh()
    first, second = net.blocks[:2]
    before(first, 0, 1, pairs[:6], 1.8)
    first.v[rows(0)] = codes[0]
    first.o[:, rows(0)] = marks[0].T * 0.5
    for head in (0, 1):
        second.q[rows(head)][slow] = codes[0][slow] * 2
        second.k[rows(head)][slow] = marks[0][slow] * 2
        copies(second, head, codes[1 + head], 0.5)
    for block, heads in ((first, (1, 2)), (second, (2, 3))):
        for head in heads:
            own(block, head, codes[2 + head], marks[2 + head])
    before(second, 4, 4, pairs[1:4], 1.2)
    copies(second, 4, codes[5], 0.5)
    for block in net.blocks[2:]:
        for head, find, copy in zip(range(5), fresh(), fresh()):
            own(block, head, find, copy)


class Muon:
    """Momentum whose update is made orthogonal (Jordan 2024): forms circuits in fewer steps.

    The matrices of all layers that have one shape are orthogonalised at once.
    """
    def __init__(self, matrices, momentum=0.95):
        self.groups = {}
        for p in matrices:
            self.groups.setdefault(tuple(sorted(p.shape)), []).append(p)
        self.momentum = momentum
        self.kept = {k: [torch.zeros_like(p) for p in ps] for k, ps in self.groups.items()}

    @torch.no_grad()
    def step(self, rate):
        for shape, matrices in self.groups.items():
            updates = []
            for p, m in zip(matrices, self.kept[shape]):
                m.lerp_(p.grad, 1 - self.momentum)
                u = p.grad.lerp(m, self.momentum)
                updates.append(u if u.shape[0] <= u.shape[1] else u.T)
            for p, u in zip(matrices, orthogonal(torch.stack(updates).bfloat16()).float()):
                u = u if p.shape[0] <= p.shape[1] else u.T
                p.add_(u, alpha=-rate * math.sqrt(max(1, p.shape[0] / p.shape[1])))

    def state(self):
        return {str(k): v for k, v in self.kept.items()}

    def load(self, state):
        self.kept = {k: state[str(k)] for k in self.groups}


def orthogonal(x, steps=5):
    """Newton-Schulz iteration towards the nearest matrix with equal singular values."""
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        a = x @ x.mT
        x = 3.4445 * x + (-4.775 * a + 2.0315 * (a @ a)) @ x
    return x
