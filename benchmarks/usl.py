# SPDX-License-Identifier: MIT
"""The Universal Scalability Law, fitted to measured throughput.

    X(N) = lambda * N / (1 + sigma * (N - 1) + kappa * N * (N - 1))

lambda is the throughput of one, sigma the share of work that is serial (contention), kappa the cost of agreeing (coherence,
pairwise). N. J. Gunther, "Guerrilla Capacity Planning", chapter 4. Divided out, N / X(N) is linear in 1/lambda,
sigma/lambda and kappa/lambda, so a least-squares fit of three columns finds them; each point is weighted by its size, which
makes errors relative. Neither sigma nor kappa may be negative: of the fits with one of them or both held at zero, the best that is so counts.

Confidence intervals are those of the bootstrap: the repetitions at each N are drawn again with replacement.
"""

import random
import statistics


def solve(matrix, right):
    """Solution of a small linear system by Gauss's elimination with pivoting, or None if it is singular."""
    n = len(right)
    rows = [list(map(float, matrix[i])) + [float(right[i])] for i in range(n)]
    for col in range(n):
        pivot = max(range(col, n), key=lambda r: abs(rows[r][col]))
        if abs(rows[pivot][col]) < 1e-12 * max(1.0, abs(rows[pivot][n])):
            return None
        rows[col], rows[pivot] = rows[pivot], rows[col]
        for r in range(n):
            if r != col:
                factor = rows[r][col] / rows[col][col]
                rows[r] = [a - factor * b for a, b in zip(rows[r], rows[col])]
    return [rows[i][n] / rows[i][i] for i in range(n)]


def least_squares(columns, target):
    """Coefficients that minimize |sum(c_i * column_i) - target|."""
    normal = [[sum(a * b for a, b in zip(x, y)) for y in columns] for x in columns]
    return solve(normal, [sum(a * b for a, b in zip(x, target)) for x in columns])


class Fit:
    """Parameters of the law for one kind of work."""

    def __init__(self, lam, sigma, kappa):
        self.lam = lam
        self.sigma = sigma
        self.kappa = kappa

    def throughput(self, n):
        return self.lam * n / (1 + self.sigma * (n - 1) + self.kappa * n * (n - 1))

    def speedup(self, n):
        return self.throughput(n) / self.lam

    def peak(self):
        """The N beyond which more of them make it slower, or None if there is none."""
        if self.sigma > 1:
            return 1.0
        if self.kappa <= 0:
            return None
        return max(1.0, ((1 - self.sigma) / self.kappa) ** 0.5)


def fit(points):
    """Fit of [(N, throughput)...] with at least three different N; None if they do not determine it."""
    if len({n for n, _ in points}) < 3 or any(x <= 0 for _, x in points):
        return None
    target = [1.0] * len(points)  # (N / X) / (N / X): every point counts alike
    columns = [[x / n for n, x in points],
               [x / n * (n - 1) for n, x in points],
               [x / n * n * (n - 1) for n, x in points]]
    # The best fit without negative parameters has them all, or is the best of those without one or both of the last two.
    best = None
    for kept in ([0, 1, 2], [0, 1], [0, 2], [0]):
        found = least_squares([columns[i] for i in kept], target)
        if found is None or found[0] <= 0 or min(found) < 0:
            continue
        error = sum((sum(c * columns[i][row] for i, c in zip(kept, found)) - 1) ** 2 for row in range(len(points)))
        if best is None or error < best[0]:
            best = error, dict(zip(kept, found))
    if best is None:
        return None
    values = best[1]
    return Fit(1 / values[0], values.get(1, 0.0) / values[0], values.get(2, 0.0) / values[0])


def medians(samples):
    return [(n, statistics.median(values)) for n, values in sorted(samples.items())]


def percentile(values, share):
    values = sorted(values)
    at = share * (len(values) - 1)
    low = int(at)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (at - low)


def bootstrap(samples, rounds=400, seed=1):
    """Fits of redrawn samples {N: [throughput...]}; none where a count was measured only once."""
    if min(len(values) for values in samples.values()) < 2:
        return []
    draw = random.Random(seed)
    fits = []
    for _ in range(rounds):
        redrawn = {n: [draw.choice(values) for _ in values] for n, values in samples.items()}
        again = fit(medians(redrawn))
        if again:
            fits.append(again)
    return fits


def interval(fits, what, level=0.95):
    """(low, high) of what(fit) over the bootstrap's fits."""
    values = [what(f) for f in fits]
    tail = (1 - level) / 2
    return percentile(values, tail), percentile(values, 1 - tail)
