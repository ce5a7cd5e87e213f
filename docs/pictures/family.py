"""python docs/pictures/family.py: draws family.svg, the roads from doubt to decision, with the library itself."""

from pathlib import Path

import numpy as np

import softmaxes as sm

LOGITS = np.array([2.0, 1.5, 0.0])
TEMPERATURES = np.geomspace(400, 0.002, 900)
MARKED = (4.0, 2.0, 1.0, 0.5, 0.25)
ROADS = (  # member, colour, where its name stands, what the reader should see
    (sm.Softmax(), "#0b6e8f", (500, 352), "softmax: every class keeps a share"),
    (sm.Entmax(1.5), "#7a4fa3", (500, 380), "1.5-entmax: gives up the third class"),
    (sm.Sparsemax(), "#c2571a", (500, 408), "sparsemax: straight on, then along the edge"),
    (sm.Taylor(2), "#4f7f2e", (500, 436), "Taylor, order 2: never quite decides"),
)
CORNERS = np.array([[440.0, 100.0], [440.0, 470.0], [-560.0, 350.0]])  # class 3 lies far outside: its part is cut
INK, FAINT = "#222222", "#b9bec4"
FONT = 'font-family="Helvetica, Arial, sans-serif"'


def place(p):
    """Return the point of the triangle for probabilities."""
    return np.asarray(p) @ CORNERS


def path(points):
    kept = [points[0]]
    for point in points[1:]:
        if np.hypot(*(point - kept[-1])) > 0.4:
            kept.append(point)
    kept.append(points[-1])
    return "M" + " L".join(f"{x:.1f},{y:.1f}" for x, y in kept)


def text(x, y, words, size=13, colour=INK, anchor="start", weight="normal"):
    style = f'{FONT} font-size="{size}" fill="{colour}" text-anchor="{anchor}" font-weight="{weight}"'
    return f'<text x="{x}" y="{y}" {style}>{words}</text>'


def picture():
    (ax, ay), (bx, by), (cx, cy) = CORNERS

    def edge(x, y):
        """Return the height of the triangle's edge from class 3 to the corner at height y."""
        return cy + (y - cy) * (x - cx) / (ax - cx)

    centre = place([1 / 3] * 3)
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 860 500" role="img" aria-labelledby="title">',
        '<title id="title">Softmax, entmax, sparsemax and the Taylor softmax as roads through the triangle of three '
        "probabilities, as the temperature falls</title>",
        '<rect width="860" height="500" fill="#ffffff"/>',
        text(20, 36, "One row of logits (2, 1.5, 0), every temperature", 19, weight="bold"),
        text(20, 60, "From the middle of the triangle of probabilities (hot) to the corner of class 1 (cold).", 13),
        f'<path d="M20,{edge(20, ay):.1f} L{ax},{ay} L{bx},{by} L20,{edge(20, by):.1f}" fill="#f5f7f9" '
        f'stroke="{FAINT}"/>',
        text(ax + 8, ay + 4, "class 1"),
        text(bx + 8, by + 4, "class 2"),
        text(26, 372, "← class 3", 12),
        f'<circle cx="{centre[0]:.1f}" cy="{centre[1]:.1f}" r="4" fill="{INK}"/>',
        text(centre[0], centre[1] + 24, "hot: uniform", 12, anchor="middle"),
    ]
    for member, colour, (x, y), words in ROADS:
        points = [place(member(LOGITS / t)) for t in TEMPERATURES]
        parts.append(f'<path d="{path(points)}" fill="none" stroke="{colour}" stroke-width="2.4"/>')
        for t in MARKED:
            px, py = place(member(LOGITS / t))
            parts.append(
                f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3.6" fill="#ffffff" stroke="{colour}" stroke-width="2"/>'
            )
        parts.append(f'<path d="M{x},{y - 5} h26" stroke="{colour}" stroke-width="3"/>')
        parts.append(text(x + 34, y, words))
    ax_, ay_ = place(sm.hardmax(LOGITS))
    parts.append(f'<rect x="{ax_ - 5:.1f}" y="{ay_ - 5:.1f}" width="10" height="10" fill="{INK}"/>')
    x = 500
    parts += [
        text(x, 136, "Two ways to the simplex", 15, weight="bold"),
        text(x, 162, "normalised scores: p = φ(z) / Σ φ(z)"),
        text(x, 184, "regularised argmax: p = argmax p·z − Ω(p)"),
        text(x, 212, "Softmax is the only one that is both."),
        text(x, 256, "○ at temperatures 4, 2, 1, ½, ¼"),
        text(x, 280, "■ hardmax, the decision: temperature 0"),
        text(x, 484, "drawn by docs/pictures/family.py", 11, "#777777"),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    Path(__file__).with_suffix(".svg").write_text(picture())
