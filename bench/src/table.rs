//! Medians and ratios, as a Markdown table.

use crate::measure::Usage;
use crate::work::Work;

/// The first row is what the others are compared with.
pub(crate) fn print(results: &[(Work, Vec<Usage>)]) {
    let reference = results.first().map_or(1.0, |(_, usages)| median(usages, |u| u.wall.as_secs_f64()));
    println!("| what | wall | × cp | CPU | peak memory | runs |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for (work, usages) in results {
        let wall = median(usages, |u| u.wall.as_secs_f64());
        let cpu = median(usages, |u| u.cpu.as_secs_f64());
        let peak = median(usages, |u| (u.peak >> 20) as f64);
        let ratio = wall / reference;
        println!("| {work} | {wall:.2} s | {ratio:.2} | {cpu:.2} s | {peak:.0} MiB | {} |", usages.len());
    }
}

fn median(usages: &[Usage], of: impl Fn(&Usage) -> f64) -> f64 {
    let mut values: Vec<f64> = usages.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
