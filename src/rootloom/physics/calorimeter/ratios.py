"""A shower's energies as unbounded numbers, and back.

After C. Krause, D. Shih, arXiv:2106.05285, section III, and L. Favaro et al. (CaloDREAM),
arXiv:2405.09629, section 2: the energy seen over that of the particle, and for each layer its share
of the energy in it and the layers behind it. Their logits and logarithms are unbounded, and any
values of them give positive energies with the right sum.

The functions take NumPy and JAX arrays alike. R showers, L layers, GeV.
"""

from __future__ import annotations

from rootloom.types import A

# Smaller shares of a shower's energy count as this one, so that logarithms are finite.
_MIN_SHARE = 1e-6


def energy_ratios(layers: A, energy: A) -> A:
    """(R, L): ln(ΣE / energy), then the logit of E_i / Σ_{j ≥ i} E_j for all layers but the last.

    layers: E (R, L); energy: (R,) of the particle.
    """
    xp = layers.__array_namespace__()
    given = xp.maximum(energy, xp.asarray(_MIN_SHARE, dtype=energy.dtype))
    total = xp.maximum(layers.sum(axis=1), _MIN_SHARE * given)
    found = [xp.log(total / given)]
    for i in range(layers.shape[1] - 1):
        # logit(a / (a + b)) = ln(a / b), which does not round where the share is near one.
        here, behind = (
            xp.maximum(e, _MIN_SHARE * total) for e in (layers[:, i], _behind(layers, i))
        )
        found.append(xp.log(here / behind))
    return xp.stack(found, axis=1)


def layers_of_ratios(ratios: A, energy: A) -> A:
    """The layers' energies (R, L), the inverse of `energy_ratios`."""
    xp = ratios.__array_namespace__()
    left = energy * xp.exp(ratios[:, 0])
    found: list[A] = []
    for i in range(1, ratios.shape[1]):
        found.append(left / (1.0 + xp.exp(-ratios[:, i])))
        left = left / (1.0 + xp.exp(ratios[:, i]))
    return xp.stack([*found, left], axis=1)


def cell_ratios(cells: A, layers: A, threshold: float) -> A:
    """ln((E + threshold) / (E_layer + threshold)) of cells, (R, C).

    layers: the energy of each cell's layer, (R, C). For a bright cell this is the
    logarithm of its share, which hardly depends on the particle's energy.
    """
    xp = cells.__array_namespace__()
    return xp.log1p(cells / threshold) - xp.log1p(layers / threshold)


def cells_of_ratios(ratios: A, layers: A, threshold: float) -> A:
    """Energies of the cells, the inverse of `cell_ratios`; negative below its range."""
    xp = ratios.__array_namespace__()
    return (layers + threshold) * xp.exp(ratios) - threshold


def _behind(layers: A, i: int) -> A:
    return layers[:, i + 1 :].sum(axis=1)
