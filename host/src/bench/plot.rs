//! A picture of a report: latency above, throughput below, as SVG that is readable in light and dark.

use std::fmt::Write;

use super::report::{Report, Step};

const WIDTH: f64 = 720.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 96.0;
const PANEL: f64 = 200.0;
/// The upper edges of the two panels.
const TOPS: [f64; 2] = [64.0, 320.0];
const HEIGHT: f64 = 580.0;

const STYLE: &str = "svg{background:#fff;color:#1b1f24;font:12px system-ui,sans-serif}\
text{fill:currentColor}.axis{stroke:currentColor;opacity:.25}.line{fill:none;stroke-width:2}\
.a{stroke:#0b6bcb;fill:#0b6bcb}.b{stroke:#1a7f4b;fill:#1a7f4b}.c{stroke:#b35900;fill:#b35900}\
.d{stroke:#b3261e;fill:#b3261e}.line{fill:none}.bar{stroke:none;opacity:.8}\
@media(prefers-color-scheme:dark){svg{background:#14171a;color:#e6e8eb}\
.a{stroke:#6cb2ff;fill:#6cb2ff}.b{stroke:#63d297;fill:#63d297}.c{stroke:#ffb266;fill:#ffb266}\
.d{stroke:#ff8a80;fill:#ff8a80}.line{fill:none}}";

/// A percentile: its name, its class, where it stands in a step.
type Series = (&'static str, &'static str, fn(&Step) -> f64);
const SERIES: [Series; 4] = [
    ("p50", "a", |step| step.latency_ms.p50),
    ("p90", "b", |step| step.latency_ms.p90),
    ("p99", "c", |step| step.latency_ms.p99),
    ("p99.9", "d", |step| step.latency_ms.p99_9),
];

/// The picture.
pub fn svg(report: &Report) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">\
         <title>Latency and throughput of {target}</title><style>{STYLE}</style>\
         <text x=\"{LEFT}\" y=\"24\" font-size=\"14\">{target} over {protocol}</text>",
        target = escaped(&report.target),
        protocol = report.protocol,
    );
    latency(&mut svg, &report.steps);
    throughput(&mut svg, &report.steps);
    svg.push_str("</svg>\n");
    svg
}

fn latency(svg: &mut String, steps: &[Step]) {
    let [top, _] = TOPS;
    let most = round_up(
        steps
            .iter()
            .map(|step| step.latency_ms.p99_9)
            .fold(0.0, f64::max),
    );
    axes(svg, top, "latency, ms", most, steps);
    // Names that would lie on each other are pushed apart.
    let mut lowest = f64::INFINITY;
    for (name, class, of) in SERIES {
        let point = |(index, step): (usize, &Step)| (x(index, steps.len()), y(top, of(step), most));
        let points: Vec<_> = steps.iter().enumerate().map(point).collect();
        let line: Vec<_> = points
            .iter()
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        write(
            svg,
            format_args!(
                "<polyline class=\"line {class}\" points=\"{}\"/>",
                line.join(" ")
            ),
        );
        for (x, y) in &points {
            write(
                svg,
                format_args!("<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>"),
            );
        }
        if let Some((x, y)) = points.last() {
            let y = y.min(lowest - 14.0);
            lowest = y;
            write(
                svg,
                format_args!(
                    "<text x=\"{:.1}\" y=\"{:.1}\">{name}</text>",
                    x + 10.0,
                    y + 4.0
                ),
            );
        }
    }
}

fn throughput(svg: &mut String, steps: &[Step]) {
    let [_, top] = TOPS;
    let most = round_up(steps.iter().map(|step| step.throughput).fold(0.0, f64::max));
    axes(svg, top, "requests a second", most, steps);
    let width = (400.0 / steps.len().max(1) as f64).min(48.0);
    for (index, step) in steps.iter().enumerate() {
        let (x, y) = (x(index, steps.len()), y(top, step.throughput, most));
        write(
            svg,
            format_args!(
                "<rect class=\"bar a\" x=\"{:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{:.1}\"/>\
                 <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{:.0}</text>",
                x - width / 2.0,
                top + PANEL - y,
                y - 6.0,
                step.throughput,
            ),
        );
    }
}

/// Lines with numbers on the left, and the names of the loads below.
fn axes(svg: &mut String, top: f64, title: &str, most: f64, steps: &[Step]) {
    write(
        svg,
        format_args!("<text x=\"{LEFT}\" y=\"{:.1}\">{title}</text>", top - 14.0),
    );
    for part in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let (value, right) = (most * part, WIDTH - RIGHT);
        let y = y(top, value, most);
        write(
            svg,
            format_args!(
                "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 8.0,
                y + 4.0,
                short(value),
            ),
        );
    }
    for (index, step) in steps.iter().enumerate() {
        let (x, y) = (x(index, steps.len()), top + PANEL + 18.0);
        write(
            svg,
            format_args!(
                "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{}</text>",
                step.load
            ),
        );
    }
}

fn x(index: usize, count: usize) -> f64 {
    let width = WIDTH - LEFT - RIGHT;
    LEFT + width * (index as f64 + 0.5) / count.max(1) as f64
}

fn y(top: f64, value: f64, most: f64) -> f64 {
    top + PANEL * (1.0 - value / most)
}

/// A number without more digits than it needs.
fn short(value: f64) -> String {
    let text = format!("{value:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    text.to_owned()
}

/// The next of 1, 2, 4, 10, 20, ...: numbers whose quarters are short.
fn round_up(value: f64) -> f64 {
    let step = 10_f64.powf(value.max(0.001).log10().floor());
    let steps = [1.0, 2.0, 4.0, 10.0].map(|factor| factor * step);
    steps
        .into_iter()
        .find(|round| *round >= value)
        .unwrap_or(value)
}

fn write(svg: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = svg.write_fmt(text);
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
