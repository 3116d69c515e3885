//! Medians, as Markdown tables.

use std::time::Duration;

use crate::{
    contenders::{Route, System, World},
    load::Load,
    result::Result,
    rounds::{CONNECTIONS, Measured},
    start::Start,
};

pub(crate) fn print(starts: &[Start], measured: &[Measured]) {
    println!("| | functions | FastAPI | × |\n| --- | --- | --- | --- |");
    for route in Route::ALL {
        let of = |system, what: fn(&Start) -> f64| {
            median(starts.iter().filter(|start| start.system == system && start.route == route).map(what))
        };
        let function = route.function();
        if route.is_first_of_its_function() {
            row(&format!("start of `{function}` to `GET /health`"), "ms", |system| {
                of(system, |start| milliseconds(start.ready))
            });
        }
        if route != Route::Health {
            row(&format!("start to first answer of `{route}`"), "ms", |system| {
                of(system, |start| milliseconds(start.time))
            });
        }
        row(&format!("memory then, `{route}`"), "MiB", |system| of(system, |start| start.memory));
    }
    for route in Route::LOADED {
        let after = |system| {
            let of =
                measured.iter().filter(move |measured| measured.system == system && measured.route == route);
            median(of.filter(|measured| Some(&measured.connections) == CONNECTIONS.last()).map(|m| m.memory))
        };
        row(&format!("memory after load, `{route}`"), "MiB", after);
    }
    println!(
        "\n| request | connections | functions, requests/s | FastAPI | × | functions, CPU | FastAPI | × | functions, p50 / p99 | FastAPI |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for_each_load(|route, connections| {
        let of = |system, what: fn(&Load) -> f64| of(measured, system, route, connections, what);
        let (rate, rate_fast) = (of(System::Ours, |l| l.per_second), of(System::FastApi, |l| l.per_second));
        let (cpu, cpu_fast) = (of(System::Ours, |l| l.cpu), of(System::FastApi, |l| l.cpu));
        let times = |system| format!("{:.1} / {:.1} ms", of(system, |l| l.p50), of(system, |l| l.p99));
        println!(
            "| `{route}` | {connections} | {rate:.0} | {rate_fast:.0} | {:.1} | {cpu:.2} ms | {cpu_fast:.2} ms | {:.1} | {} | {} |",
            rate / rate_fast,
            cpu_fast / cpu,
            times(System::Ours),
            times(System::FastApi),
        );
    });
    println!(
        "\n| request, store in memory | connections | requests/s | CPU | p50 | p99 |\n| --- | --- | --- | --- | --- | --- |"
    );
    for_each_load(|route, connections| {
        let of = |what: fn(&Load) -> f64| of(measured, System::Memory, route, connections, what);
        let (rate, cpu) = (of(|l| l.per_second), of(|l| l.cpu));
        let (p50, p99) = (of(|l| l.p50), of(|l| l.p99));
        println!("| `{route}` | {connections} | {rate:.0} | {cpu:.3} ms | {p50:.2} ms | {p99:.2} ms |");
    });
}

/// The functions alone: size, start, and first answer.
pub(crate) fn print_starts(world: &World, starts: &[Start]) -> Result<()> {
    println!(
        "| request | function | size | start to `GET /health` | start to first answer | memory then |\n| --- | --- | --- | --- | --- | --- |"
    );
    for route in Route::ALL.into_iter().filter(|route| world.has(System::Ours, *route)) {
        let of =
            |what: fn(&Start) -> f64| median(starts.iter().filter(|start| start.route == route).map(what));
        let (ready, time) = (of(|start| milliseconds(start.ready)), of(|start| milliseconds(start.time)));
        println!(
            "| `{route}` | `{}` | {:.1} MB | {ready:.1} ms | {time:.1} ms | {:.1} MiB |",
            route.function(),
            world.size(route)? as f64 / 1e6,
            of(|start| start.memory),
        );
    }
    Ok(())
}

/// A line of both systems, and how many times as much FastAPI takes, if it has the route.
fn row(what: &str, unit: &str, of: impl Fn(System) -> f64) {
    let (ours, fast_api) = (of(System::Ours), of(System::FastApi));
    if fast_api.is_nan() {
        println!("| {what} | {ours:.1} {unit} | | |");
    } else {
        println!("| {what} | {ours:.1} {unit} | {fast_api:.1} {unit} | {:.0} |", fast_api / ours);
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn for_each_load(mut line: impl FnMut(Route, usize)) {
    for route in Route::LOADED {
        for connections in CONNECTIONS {
            line(route, connections);
        }
    }
}

fn of(
    measured: &[Measured],
    system: System,
    route: Route,
    connections: usize,
    what: fn(&Load) -> f64,
) -> f64 {
    let of = measured.iter().filter(|measured| {
        (measured.system, measured.route, measured.connections) == (system, route, connections)
    });
    median(of.map(|measured| what(&measured.load)))
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
