"""A curve as a Markdown table."""

HEADER = (
    "| network | lambda | accuracy | lookups | operations of Conv2d's | ms an image | speed-up | bytes of weights |",
    "|---|---|---|---|---|---|---|---|",
)


def with_deviation(value, pattern, unit=""):
    """"92.26% +- 0.10%"."""
    if value is None:
        return "-"
    text = f"{value['mean']:{pattern}}{unit}"
    return text if value["deviation"] is None else f"{text} ± {value['deviation']:{pattern}}{unit}"


def line(row):
    operations = row["multiplications"]["mean"] / row["networks"][0]["conv2d_multiplications"]
    name = f"LookupConv2d {row['dictionary']}" if row["dictionary"] else "Conv2d"
    penalty = "-" if row["lambda"] is None else f"{row['lambda']:g}"
    return (
        f"| {name} | {penalty} | {with_deviation(row['accuracy'], '.2%')} | {with_deviation(row['lookups'], ',.0f')} | {operations:.1%} "
        f"| {row['milliseconds_per_image']:.4f} | {with_deviation(row['speedup'], '.2f', 'x')} | {row['bytes']['mean']:,.0f} |"
    )


def table(curve):
    context = curve["context"]
    seeds = context["seeds"]
    about = (
        f"{context['model']} on {context['dataset']}, {context['epochs']} epochs, {seeds} seed{'s' if seeds > 1 else ''} each "
        f"(mean ± standard deviation), on {context['device_name']}; times in batches of {context['inference_batch']}, "
        "alternating with Conv2d's. "
        "Conv2d's own speed-up says how well times repeat."
    )
    return "\n".join([about, "", *HEADER, *map(line, curve["rows"])]) + "\n"
