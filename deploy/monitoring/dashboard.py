"""Writes grafana-dashboard.json beside it: `python deploy/monitoring/dashboard.py`. Needs grafana-foundation-sdk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from grafana_foundation_sdk.builders import common, dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import GraphDrawStyle, LegendDisplayMode, LegendPlacement, StackingMode
from grafana_foundation_sdk.models.dashboard import DataSourceRef, VariableRefresh

OUTPUT = Path(__file__).with_name("grafana-dashboard.json")
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
_JOB = '{job=~"$job"}'


@dataclass(frozen=True)
class Panel:
    """One plot: `queries` are (PromQL, legend); `unit` is Grafana's name of it."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    note: str = ""
    stacked: bool = False


def _recorded(name: str, legend: str) -> tuple[str, str]:
    return name + _JOB, legend


def _changes(counter: str, legend: str) -> tuple[str, str]:
    return f"sum by (card) (increase({counter}{_JOB}[1m]))", legend


ROWS: dict[str, tuple[Panel, ...]] = {
    "Work": (
        Panel(
            "Images per second",
            "short",
            (("sum by (instance, card) (rate(resnet50_images_total" + _JOB + "[1m]))", "{{instance}} {{card}}"),),
        ),
        Panel(
            "Latency by stage, mean",
            "s",
            (
                _recorded("job:resnet50_decode_queue_seconds:mean1m", "wait for a decoder"),
                _recorded("job:resnet50_decode_seconds:mean1m", "decoding"),
                _recorded("job:resnet50_queue_seconds:mean1m", "queue in Triton"),
                (
                    f"clamp_min(job:resnet50_total_seconds:mean1m{_JOB} - job:resnet50_copy_seconds:mean1m{_JOB}"
                    f" - job:resnet50_kernel_seconds:mean1m{_JOB}, 0)",
                    "wait for the card",
                ),
                _recorded("job:resnet50_copy_seconds:mean1m", "copy"),
                _recorded("job:resnet50_kernel_seconds:mean1m", "kernel"),
            ),
            "Of a request; network and Triton's own hops are not in it.",
            stacked=True,
        ),
        Panel(
            "Latency in resnet50",
            "s",
            (
                _recorded("job:resnet50_total_seconds:p99_1m", "p99"),
                _recorded("job:resnet50_total_seconds:mean1m", "mean"),
            ),
            "From the request's arrival in the model to its answer.",
        ),
    ),
    "Load": (
        Panel(
            "Batch size",
            "short",
            (
                _recorded("job:resnet50_batch_size:mean1m", "mean"),
                (
                    "histogram_quantile(0.9, sum by (job, le) (rate(resnet50_batch_size_bucket" + _JOB + "[1m])))",
                    "p90",
                ),
            ),
        ),
        Panel(
            "Waiting time, in run times",
            "short",
            (
                _recorded("job:resnet50_wait_per_kernel:ratio1m", "all waits"),
                _recorded("job:resnet50_queue_per_kernel:ratio1m", "in Triton's queue"),
            ),
            "Overload shows here; docs/capacity.md gives the values by load.",
        ),
        Panel(
            "Waiting requests",
            "short",
            (
                ("sum by (model) (nv_inference_pending_request_count" + _JOB + ")", "{{model}}"),
                ("sum(resnet50_decode_waiting_requests" + _JOB + ")", "to be decoded"),
            ),
            "In Triton's queues, and in that of preprocess.",
        ),
    ),
    "Cards": (
        Panel(
            "Cards by state",
            "short",
            (
                ("sum by (state) (resnet50_card_state" + _JOB + ") > 0", "{{state}}"),
                (f"sum(resnet50_standby_active{_JOB}) > 0", "standby in use"),
            ),
            stacked=True,
        ),
        Panel(
            "Faults per minute",
            "short",
            (
                _changes("resnet50_timeouts_total", "{{card}} deadline missed"),
                _changes("resnet50_recoveries_total", "{{card}} recovered"),
                _changes("resnet50_reruns_total", "{{card}} requests run again"),
                _changes("resnet50_poison_total", "{{card}} poison requests"),
                _changes("resnet50_selftest_mismatches_total", "{{card}} self-test failed"),
                _changes("resnet50_cross_check_mismatches_total", "{{card}} live batch wrong"),
            ),
            "A wrong result triggers a page.",
        ),
        Panel(
            "Unanswered requests per second",
            "short",
            (
                (f"sum by (code) (rate(resnet50_refused_total{_JOB}[1m]))", "refused {{code}}"),
                (f"sum by (card) (rate(resnet50_failed_total{_JOB}[1m]))", "failed on {{card}}"),
                (
                    'sum by (model) (rate(nv_inference_request_failure{job=~"$job",model=~"resnet50|preprocess"}[1m]))',
                    "Triton: {{model}}",
                ),
            ),
        ),
    ),
    "Power": (
        Panel(
            "Board power",
            "watt",
            ((f"resnet50_power_watts{_JOB}", "{{instance}} {{card}}"),),
            "By the board's sensors; a timing card has those published for a U250. A software card has none.",
        ),
        Panel(
            "Images per second and watt",
            "short",
            (
                (
                    f"sum by (instance, card) (rate(resnet50_images_total{_JOB}[1m]))"
                    f" / sum by (instance, card) (resnet50_power_watts{_JOB} > 0)",
                    "{{instance}} {{card}}",
                ),
            ),
            "The board alone, without its host.",
        ),
        Panel(
            "Host CPU and memory",
            "percentunit",
            (
                (f"nv_cpu_utilization{_JOB}", "{{instance}} processor"),
                (f"nv_cpu_memory_used_bytes{_JOB} / nv_cpu_memory_total_bytes{_JOB}", "{{instance}} memory"),
            ),
        ),
    ),
}


def build() -> str:
    """The dashboard as Grafana's JSON."""
    board = (
        dashboard.Dashboard("ResNet50 on Triton")
        .uid("resnet50-triton")
        .tags(["resnet50", "triton"])
        .refresh("10s")
        .time("now-30m", "now")
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(
            dashboard.QueryVariable("job")
            .label("Job")
            .datasource(SOURCE)
            .query("label_values(resnet50_cards_ready, job)")
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .multi(True)
            .include_all(True)
        )
    )
    for title, panels in ROWS.items():
        board = board.with_row(dashboard.Row(title))
        for panel in panels:
            board = board.with_panel(_panel(panel))
    return JSONEncoder(sort_keys=True, indent=1).encode(board.build()) + "\n"


def _panel(panel: Panel) -> timeseries.Panel:
    plot = (
        timeseries.Panel()
        .title(panel.title)
        .description(panel.note)
        .datasource(SOURCE)
        .unit(panel.unit)
        .min(0)
        .span(8)
        .height(8)
        .draw_style(GraphDrawStyle.LINE)
        .fill_opacity(30 if panel.stacked else 5)
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
        )
    )
    if panel.stacked:
        plot = plot.stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    for index, (query, legend) in enumerate(panel.queries):
        target = prometheus.Dataquery().expr(query).legend_format(legend).ref_id(chr(ord("A") + index))
        plot = plot.with_target(target.datasource(SOURCE))
    return plot


if __name__ == "__main__":
    OUTPUT.write_text(build())
    print(f"wrote {OUTPUT}")
