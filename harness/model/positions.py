"""Where a token stands: what is added to its embedding."""

from torch import Tensor, nn


class Learned(nn.Module):
    """A learned row for each of ``context`` positions (GPT-2: drawn with standard deviation 0.01).

    ``forward(seen, tokens)`` is (T, C), the rows of the next ``tokens`` positions after ``seen`` of them.
    """

    def __init__(self, context: int, width: int, std: float):
        super().__init__()
        self.std = std
        self.table = nn.Embedding(context, width)

    @property
    def context(self) -> int:
        """Positions there are."""
        return self.table.num_embeddings

    def forward(self, seen: int, tokens: int) -> Tensor:
        """Raises ValueError beyond the table."""
        if seen + tokens > self.context:
            raise ValueError(f"model.context={self.context}: a sequence of {seen + tokens} tokens does not fit")
        return self.table.weight[seen : seen + tokens]
