//! What is asked of the service, from the arguments.

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::args::{RequestArgs, RequestedType};
use crate::failure::Failure;
use crate::sources::hub_token;

/// The body of `POST /exports` and `POST /plans`. It can have the token of the Hub.
pub(crate) fn body(args: &RequestArgs) -> Result<Value, Failure> {
    let mut body = json!({ "job_id": args.job, "export_type": args.kind.as_str() });
    let of_gguf = [
        ("--quant", !args.quant.is_empty()),
        ("--max-bytes", args.max_bytes.is_some()),
        ("--lora", args.lora),
        ("--imatrix", args.imatrix.is_some()),
        ("--calibration", args.calibration.is_some()),
    ];
    if let Some((option, _)) = of_gguf.iter().find(|(_, given)| *given && args.kind != RequestedType::Gguf) {
        return Err(Failure::usage(format!("{option} is for --type gguf: leave it out")));
    }
    let types: Vec<&str> = args.quant.iter().map(|kind| kind.as_str()).collect();
    match types[..] {
        [] => {}
        [one] => body["quantization"] = one.into(),
        _ => body["quantizations"] = types.into(),
    }
    if let Some(max_bytes) = args.max_bytes {
        body["max_bytes"] = max_bytes.into();
    }
    if args.lora {
        body["gguf_kind"] = "lora".into();
    }
    let files =
        [("imatrix", &args.imatrix), ("calibration_uri", &args.calibration), ("prompts_uri", &args.prompts)];
    for (field, url) in files {
        if let Some(url) = url {
            body[field] = url.as_str().into();
        }
    }
    if let Some(repo) = &args.push {
        body["destination"] = if args.push_only { json!(["hf_hub"]) } else { json!(["gcs", "hf_hub"]) };
        body["hf_repo_id"] = repo.as_str().into();
        body["hf_private"] = (!args.public).into();
    }
    if args.push.is_some() || args.hub_token {
        let token = hub_token().ok_or_else(|| {
            Failure::usage("there is no token of the Hugging Face Hub: set HF_TOKEN, or run `hf auth login`")
        })?;
        redaction::register(&token);
        body["hf_token"] = token.expose_secret().into();
    }
    Ok(body)
}
