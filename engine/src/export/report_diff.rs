//! Compares a written report with the expected one.

use std::fmt::Display;
use std::io;

use serde_json::Value;

use super::compared_file::Difference;
use crate::check::TURN_END_NOT_LEARNED;
use crate::error::{Error, Result};
use crate::io::{Folder, read_source};

/// Differences shown of one report.
const SHOWN: usize = 5;

/// The differences in the report of this name, except for versions and what was measured after the export; `None` when
/// there is no report.
pub(crate) fn compare(expected: &Value, name: &str, folder: &dyn Folder) -> Result<Option<Vec<Difference>>> {
    let source = match folder.open(name) {
        Ok(source) => source,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::read(format!("{}/{name}", folder.location()), error)),
    };
    let differ = |problem| Difference { file: name.to_owned(), tensor: None, problem };
    let Ok(mut is) = serde_json::from_slice::<Value>(&read_source(&*source)?) else {
        return Ok(Some(vec![differ("is not JSON".to_owned())]));
    };
    remove_measured_finding(&mut is);
    let mut places = Vec::new();
    differences(&is, expected, "", &mut places);
    // what only the export itself knows
    let is_known = |place: &String| {
        !["/made_by", "/survival", "/options/calibration"].iter().any(|start| place.starts_with(start))
    };
    places.retain(is_known);
    let more = places.len().saturating_sub(SHOWN);
    let mut found: Vec<Difference> =
        places.iter().take(SHOWN).map(|place| differ(format!("differs at {place}"))).collect();
    if more > 0 {
        found.push(differ(format!("differs at {more} more places")));
    }
    Ok(Some(found))
}

/// Removes the finding that was added when survival was measured.
fn remove_measured_finding(report: &mut Value) {
    let Some(fields) = report.as_object_mut() else { return };
    let Some(findings) = fields.get_mut("findings").and_then(Value::as_array_mut) else { return };
    findings.retain(|finding| finding["code"] != TURN_END_NOT_LEARNED);
    if findings.is_empty() {
        fields.remove("findings");
    }
}

/// JSON pointers to the leaves that differ.
fn differences(is: &Value, should: &Value, at: &str, places: &mut Vec<String>) {
    let mut below = |place: &dyn Display, is: Option<&Value>, should: Option<&Value>| {
        let [is, should] = [is, should].map(|value| value.unwrap_or(&Value::Null));
        differences(is, should, &format!("{at}/{place}"), places);
    };
    match (is, should) {
        (Value::Object(is), Value::Object(should)) => {
            for key in should.keys().chain(is.keys().filter(|key| !should.contains_key(*key))) {
                below(key, is.get(key), should.get(key));
            }
        }
        (Value::Array(is), Value::Array(should)) => {
            (0..is.len().max(should.len())).for_each(|i| below(&i, is.get(i), should.get(i)));
        }
        _ if is == should => {}
        _ => places.push(at.to_owned()),
    }
}
