"""What labels are called in front of readers, and how LaTeX takes whatever they hold."""

from mosaic_bench.report.latex import escape
from mosaic_bench.report.names import display

TITLES = {"dense": "DENSE", "mosaic/statistics": "Mosaic (statistics)†"}


def test_known_names_are_written_out() -> None:
    assert display("dirichlet(alpha=0.1)", TITLES) == "Dirichlet(α=0.1)"
    assert display("dense(kd=1)", TITLES) == "DENSE(kd=1)"
    assert display("my_own_set", TITLES) == "my_own_set"


def test_a_named_variant_has_its_own_title_and_dagger() -> None:
    assert display("mosaic/statistics(kd=1)", TITLES) == "Mosaic (statistics)†(kd=1)"
    assert display("resnet8/cnn", TITLES) == "resnet8/cnn"
    assert display("mnist/iid-dirichlet", TITLES) == "MNIST/IID-Dirichlet"


def test_latex_commands_are_escaped_and_greek_is_mathematics() -> None:
    assert escape("a_b 50% R&D #1 {x} $5 ~ ^ \\") == (
        r"a\_b 50\% R\&D \#1 \{x\} \$5 \textasciitilde{} \textasciicircum{} \textbackslash{}"
    )
    assert escape("α, ρ ± σ → × † ≤ a<b|c – µ") == (
        r"$\alpha$, $\rho$ $\pm$ $\sigma$ $\to$ $\times$ $\dagger$ $\le$ a$<$b$|$c -- µ"
    )


def test_white_space_is_a_blank_in_latex() -> None:
    assert escape("first line\nsecond\tline ") == "first line second line "


def test_every_greek_letter_has_a_way_into_latex() -> None:
    assert escape("ΓΘΛΞΠΦΨΥ ιυς") == (
        r"$\Gamma$$\Theta$$\Lambda$$\Xi$$\Pi$$\Phi$$\Psi$$\Upsilon$ $\iota$$\upsilon$$\varsigma$"
    )
    letters = [chr(code) for code in (*range(0x391, 0x3A2), *range(0x3A3, 0x3AA), *range(0x3B1, 0x3CA))]
    assert not any("[" in escape(letter) for letter in letters)
    assert escape("Αο") == "Ao"


def test_what_pdflatex_has_no_letter_for_is_named() -> None:
    assert escape("ünï² “ž”…") == "ünï² “ž”…"
    assert escape("e\u0301") == "é"
    assert escape("a∂b 中 «đ»") == (
        "a[partial differential]b [cjk unified ideograph-4e2d] "
        "[left-pointing double angle quotation mark][latin small letter d with stroke]"
        "[right-pointing double angle quotation mark]"
    )


def test_control_codes_of_a_message_do_not_reach_latex() -> None:
    assert escape("\x1b[31mlr ≠ ∞\x1b[0m\x00") == r"[31mlr $\neq$ $\infty$[0m"
