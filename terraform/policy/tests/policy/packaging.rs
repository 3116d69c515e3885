//! Rules on the text of Dockerfiles and workflows.

use std::{fs, sync::LazyLock};

use regex::Regex;

use crate::rehearsal::{read, root};

/// The instructions of the last stage, without the sources of copied files.
fn last_stage(dockerfile: &str) -> Vec<String> {
    let stage = dockerfile.rsplit("\nFROM ").next().unwrap();
    let instructions = stage.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    instructions.map(|line| line.replace("--from=build ", "").replace("/out/", "")).collect()
}

/// The violations of a Dockerfile.
fn wrong(dockerfile: &str) -> Vec<&'static str> {
    let (mut wrong, stage) = (Vec::new(), last_stage(dockerfile));
    let pinned = Regex::new(r"@sha256:[0-9a-f]{64}$").unwrap();
    let built_on = dockerfile.lines().filter_map(|line| {
        let image = line.strip_prefix("FROM ").or_else(|| line.strip_prefix("ARG BUILDER="))?;
        Some(image.split(' ').next().unwrap_or_default())
    });
    for image in built_on {
        if !["scratch", "${BUILDER}"].contains(&image) && !pinned.is_match(image) {
            wrong.push("is built on an image that is not pinned");
        }
    }
    if stage.first().map(String::as_str) != Some("scratch") {
        wrong.push("holds more than our files");
    }
    if !stage.iter().any(|line| line == "USER 65532:65532") {
        wrong.push("runs as root");
    }
    if !stage.iter().any(|line| line.contains("ca-certificates.crt /etc/ssl/certs/ca-certificates.crt")) {
        wrong.push("has no certificates");
    }
    if stage.iter().any(|line| line.starts_with("RUN") || line.starts_with("ADD")) {
        wrong.push("runs something in the image");
    }
    wrong
}

#[test]
fn images_are_pinned_small_and_not_root() {
    for file in ["packaging/Dockerfile", "packaging/Dockerfile.prebuilt", "packaging/Dockerfile.command"] {
        let dockerfile = read(file);
        assert_eq!(wrong(&dockerfile), Vec::<&str>::new(), "{file}");
        for (from, to) in [
            ("USER 65532:65532\n", ""),
            ("FROM scratch", "FROM debian:bookworm-slim"),
            ("ca-certificates.crt /etc/ssl/certs/ca-certificates.crt", "main /main2"),
            ("ENTRYPOINT", "RUN true\nENTRYPOINT"),
        ] {
            assert!(dockerfile.contains(from), "{file} must hold {from:?}");
            assert!(
                !wrong(&dockerfile.replace(from, to)).is_empty(),
                "{file}: nothing minds {from:?} → {to:?}"
            );
        }
    }
    let source = read("packaging/Dockerfile");
    let unpinned = Regex::new("@sha256:[0-9a-f]+").unwrap().replace(&source, "").into_owned();
    assert!(!wrong(&unpinned).is_empty(), "nothing minds an image by tag");
}

#[test]
fn both_recipes_make_the_same_image() {
    let (source, prebuilt) = (read("packaging/Dockerfile"), read("packaging/Dockerfile.prebuilt"));
    assert_eq!(last_stage(&source), last_stage(&prebuilt));
    let toolchain = Regex::new(r#"channel = "([\d.]+)""#).unwrap();
    let channel = toolchain.captures(&read("rust-toolchain.toml")).unwrap()[1].to_owned();
    assert!(source.contains(&format!("rust:{channel}-")), "the builder is not Rust {channel}");
}

/// A build needs every member of the workspace, because Cargo reads all manifests.
#[test]
fn the_build_context_holds_every_member() {
    let members = Regex::new(r"(?m)^members = \[(.*)\]$").unwrap();
    let members = members.captures(&read("Cargo.toml")).unwrap()[1].to_owned();
    let ignored = read("packaging/Dockerfile.dockerignore");
    for member in members.split(',') {
        let member = member.trim().trim_matches('"').trim_end_matches("/*");
        assert!(
            ignored.lines().any(|line| line == format!("!{member}")),
            "{member} is left out of the context"
        );
    }
}

/// The first major version of each action that runs on node24. Runners have no older Node.js.
const FIRST_ON_NODE24: [(&str, u32); 9] = [
    ("actions/attest", 3),
    ("actions/cache", 5),
    ("actions/checkout", 5),
    ("actions/download-artifact", 7),
    ("actions/setup-node", 5),
    ("actions/upload-artifact", 6),
    ("google-github-actions/auth", 3),
    ("google-github-actions/setup-gcloud", 3),
    ("hashicorp/setup-terraform", 4),
];

/// What is wrong with `owner/name@commit # v1.2.3`.
fn wrong_action(line: &str) -> Option<String> {
    static PINNED: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^([\w-]+/[\w./-]+)@[0-9a-f]{40} # v(\d+)\.\d+\.\d+$").unwrap());
    let Some(found) = PINNED.captures(line) else {
        return Some(format!("{line} is not pinned by commit, with its version"));
    };
    let first = FIRST_ON_NODE24.iter().find(|(action, _)| *action == &found[1]);
    match (first, found[2].parse::<u32>()) {
        (Some((_, first)), Ok(major)) if major >= *first => None,
        (Some((_, first)), _) => Some(format!("{line} does not run on node24: v{first} does")),
        (None, _) => Some(format!("since which version does {line} run on node24?")),
    }
}

/// The violations of a workflow.
fn wrong_workflow(workflow: &str) -> Vec<String> {
    // each takes milliseconds to compile, and mutants ask for them hundreds of times
    static INSTALLS: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"run: cargo install ([^&|\n]*)").unwrap());
    static EXACT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"@\d+\.\d+\.\d+$").unwrap());
    static EXPRESSION: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"run: [^\n]*\$\{\{").unwrap());
    let mut wrong = Vec::new();
    let uses =
        workflow.lines().filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix("uses: "));
    // a workflow of this repository is of the same commit
    wrong.extend(uses.filter(|line| !line.starts_with("./.github/workflows/")).filter_map(wrong_action));
    if workflow.contains("npm install") {
        wrong.push("npm install has no lock: npm ci has".to_owned());
    }
    let packages = INSTALLS.captures_iter(workflow).flat_map(|found| {
        let words = found.get(1).unwrap().as_str().split_whitespace();
        words.filter(|word| !word.starts_with("--"))
    });
    wrong.extend(
        packages
            .filter(|package| !EXACT.is_match(package))
            .map(|package| format!("{package} has no version")),
    );
    if !workflow.contains("\npermissions:\n  contents: read\n") {
        wrong.push("tokens may do more than read".to_owned());
    }
    if workflow.contains("secrets.") || workflow.contains("credentials_json") {
        wrong.push("there is a stored secret".to_owned());
    }
    let may_authenticate = workflow.contains("id-token: write");
    for event in ["pull_request_target", "workflow_run", "issue_comment"] {
        if workflow.contains(&format!("  {event}:")) {
            wrong.push(format!("{event} runs what others have written with our rights"));
        }
    }
    if may_authenticate && workflow.contains("  pull_request:") {
        wrong.push("a pull request can request the deployer's token".to_owned());
    }
    if may_authenticate && !workflow.contains("    needs: gate\n") {
        wrong.push("what is deployed was not checked".to_owned());
    }
    let only = if workflow.starts_with("name: release\n") {
        "if: startsWith(github.ref, 'refs/tags/v')\n"
    } else {
        "if: github.ref == 'refs/heads/main'\n"
    };
    if may_authenticate && !workflow.contains(only) {
        wrong.push("another branch can be deployed, or what is no release be released".to_owned());
    }
    // an event's value in a script allows script injection
    if EXPRESSION.is_match(workflow) {
        wrong.push("a script holds an expression".to_owned());
    }
    wrong
}

#[test]
fn workflows_are_pinned_and_hold_no_secret() {
    let commit = Regex::new("@[0-9a-f]{40}").unwrap();
    let versioned = Regex::new(r"(install [^\n]*[\w-])@[\d.]+").unwrap();
    for file in [".github/workflows/ci.yml", ".github/workflows/deploy.yml"] {
        let workflow = read(file);
        assert_eq!(wrong_workflow(&workflow), Vec::<String>::new(), "{file}");
        let tagged = commit.replace(&workflow, "@v4").into_owned();
        assert!(!wrong_workflow(&tagged).is_empty(), "{file}: nothing minds a tag");
        for used in workflow.lines().filter(|line| line.contains(" # v")) {
            let (action, _) = used.split_once(" # v").unwrap();
            for other in [format!("{action} # v2.0.0"), action.to_owned()] {
                let mutant = workflow.replacen(used, &other, 1);
                assert!(!wrong_workflow(&mutant).is_empty(), "{file}: nothing minds {other}");
            }
        }
        let unpinned = versioned.replace(&workflow, "$1").into_owned();
        assert!(
            unpinned != workflow && !wrong_workflow(&unpinned).is_empty(),
            "{file}: nothing minds any version"
        );
        for (from, to) in [
            ("  contents: read\n", "  contents: write\n"),
            ("make ", "${{ github.head_ref }} "),
            ("env:", "env:\n  KEY: ${{ secrets.KEY }}\n"),
        ] {
            let mutant = workflow.replacen(from, to, 1);
            assert!(
                mutant != workflow && !wrong_workflow(&mutant).is_empty(),
                "{file}: nothing minds {from:?} → {to:?}"
            );
        }
    }
    let deploy = read(".github/workflows/deploy.yml");
    assert!(deploy.contains("workload_identity_provider: ${{ vars."));
    for (from, to) in [
        ("  push:\n", "  workflow_run:\n"),
        ("  push:\n", "  pull_request:\n"),
        ("  push:\n", "  pull_request_target:\n"),
        ("    needs: gate\n", ""),
        ("    if: github.ref == 'refs/heads/main'\n", ""),
    ] {
        let mutant = deploy.replacen(from, to, 1);
        assert!(mutant != deploy && !wrong_workflow(&mutant).is_empty(), "nothing minds {from:?} → {to:?}");
    }
}

/// What is missing so that every image has a signed provenance and a signed SBOM, by a job that cannot deploy.
fn unsigned(workflow: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let (deploy, attest) = workflow.split_once("\n  attest:\n").unwrap_or((workflow, ""));
    let mut must = |what: &str, holds: bool| {
        if !holds {
            wrong.push(what.to_owned());
        }
    };
    must("attests what is not deployed", attest.contains("    needs: [build, deploy]\n"));
    must(
        "is skipped when a deployment fails after its push",
        attest.contains("    if: ${{ !cancelled() && needs.deploy.outputs.images != '' }}\n")
            && deploy.contains("      - id: subjects\n        if: ${{ !cancelled() && hashFiles("),
    );
    must(
        "can become the deployer",
        !attest.contains("environment:") && !attest.contains("google-github-actions"),
    );
    must(
        "cannot sign",
        attest.contains("      id-token: write ") && attest.contains("      attestations: write\n"),
    );
    must("the deploying job signs", !deploy.contains("attestations: write"));
    must("no provenance", attest.contains("          subject-checksums: target/package/images.sha256\n"));
    for image in ["health", "list", "create", "get", "cancel", "plan", "export-job"] {
        let subject =
            |field: &str| format!("fromJSON(needs.deploy.outputs.images)['{image}'].{field} }}}}\n");
        let sbom = format!("          sbom-path: target/package/sbom/{image}.cdx.json\n");
        let signed = attest.contains(&(subject("digest") + &sbom)) && attest.contains(&subject("name"));
        must(&format!("no SBOM of {image}"), signed);
    }
    wrong
}

#[test]
fn images_have_a_signed_provenance_and_sbom() {
    let workflow = read(".github/workflows/deploy.yml");
    assert_eq!(unsigned(&workflow), Vec::<String>::new());
    for (from, to) in [
        ("    needs: [build, deploy]\n", "    needs: build\n"),
        ("    if: ${{ !cancelled() && needs.deploy.outputs.images != '' }}\n", ""),
        ("        if: ${{ !cancelled() && hashFiles(", "        if: ${{ hashFiles("),
        ("      attestations: write\n", ""),
        ("          subject-checksums: target/package/images.sha256\n", ""),
        ("sbom/get.cdx.json", "sbom/list.cdx.json"),
        ("['export-job'].digest", "['create'].digest"),
        ("  attest:\n", "  attest:\n    environment: production\n"),
    ] {
        let mutant = workflow.replacen(from, to, 1);
        assert!(mutant != workflow && !unsigned(&mutant).is_empty(), "nothing minds {from:?} → {to:?}");
    }
}

/// What is wrong with the workflow that makes a release of the command.
fn wrong_release(workflow: &str) -> Vec<String> {
    let mut wrong = wrong_workflow(workflow);
    wrong.extend(built_beside_credentials(workflow));
    let release = read("scripts/release");
    let targets = Regex::new(r"target: ([\w-]+), runner: ([\w.-]+)").unwrap();
    let targets: Vec<_> = targets.captures_iter(workflow).map(|found| found[1].to_owned()).collect();
    for target in &targets {
        // what is collected is what is built
        if !release.contains(&target.replace("x86_64-pc-windows-msvc", "x86_64-pc-windows-msvc.zip")) {
            wrong.push(format!("the archive of {target} is not waited for"));
        }
    }
    let mut must = |what: &str, holds: bool| {
        if !holds {
            wrong.push(what.to_owned());
        }
    };
    must("it does not build for five systems", targets.len() == 5);
    must(
        "it runs for more than tags of a version",
        workflow.contains("on:\n  push:\n    tags: [\"v*\"]\n\n"),
    );
    must(
        "the tag is not compared with the version",
        workflow.contains("scripts/release check \"$GITHUB_REF_NAME\""),
    );
    must(
        "an archive is not used before it is published",
        workflow.contains("- run: scripts/archive check\n"),
    );
    must(
        "nothing has the SHA-256 of every file",
        workflow.contains("scripts/release sums target/release-files\n"),
    );
    for (name, job) in jobs(workflow) {
        let writes = job.contains(": write");
        must(&format!("{name} builds with a token that writes"), !writes || !job.contains("scripts/archive"));
        must(
            &format!("{name} takes files by name only"),
            !writes || job.contains("| sha256sum --check && tar --extract"),
        );
        must(&format!("{name} may write"), !writes || ["attest", "github", "pypi"].contains(&name));
    }
    must("PyPI has a stored token", workflow.contains("    environment: pypi\n"));
    must("a release is made of unsigned files", workflow.contains("    needs: [build, attest]\n"));
    wrong
}

#[test]
fn a_release_is_checked_signed_and_without_stored_tokens() {
    let workflow = read(".github/workflows/release.yml");
    assert_eq!(wrong_release(&workflow), Vec::<String>::new());
    let of_any_ref = workflow.replace("    if: startsWith(github.ref, 'refs/tags/v')\n", "");
    assert!(of_any_ref != workflow && !wrong_release(&of_any_ref).is_empty());
    let names: Vec<_> = jobs(&workflow).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["gate", "binaries", "build", "attest", "github", "pypi"]);
    for (from, to) in [
        ("    tags: [\"v*\"]\n", "    branches: [main]\n"),
        ("  contents: read\n", "  contents: write\n"),
        ("    needs: gate\n", ""),
        ("          - { target: x86_64-pc-windows-msvc, runner: windows-2025 }\n", ""),
        ("target: aarch64-unknown-linux-musl", "target: riscv64gc-unknown-linux-musl"),
        ("      - run: scripts/release check \"$GITHUB_REF_NAME\"\n", ""),
        ("scripts/archive check", "scripts/archive"),
        ("scripts/release sums target/release-files", "true"),
        ("| sha256sum --check && tar", "&& tar"),
        ("          SHA256: ${{ needs.build.outputs.sha256 }}\n", ""),
        ("    needs: [build, attest]\n", "    needs: build\n"),
        ("    environment: pypi\n", ""),
        ("      - name: Image\n", "      - run: scripts/archive\n      - name: Image\n"),
        ("      - run: pipx", "      - run: cargo build\n      - run: pipx"),
        ("          GH_TOKEN: ${{ github.token }}", "          GH_TOKEN: ${{ secrets.TOKEN }}"),
    ] {
        let mutant = workflow.replacen(from, to, 1);
        assert!(mutant != workflow, "{from:?} is not in the workflow");
        assert!(!wrong_release(&mutant).is_empty(), "nothing minds {from:?} → {to:?}");
    }
}

/// Runs `scripts/release` in a folder with this manifest and changelog.
fn release(manifest: &str, changelog: &str, arguments: &[&str]) -> std::process::Output {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("scripts")).unwrap();
    fs::copy(root().join("scripts/release"), folder.path().join("scripts/release")).unwrap();
    fs::write(folder.path().join("Cargo.toml"), manifest).unwrap();
    fs::write(folder.path().join("CHANGELOG.md"), changelog).unwrap();
    std::process::Command::new(folder.path().join("scripts/release")).args(arguments).output().unwrap()
}

#[test]
fn a_release_is_of_its_version_and_has_every_file() {
    let manifest = "[workspace.package]\nversion = \"1.2.3\"\nrepository = \"https://example.com/export\"\n[workspace.lints]\n";
    let changelog =
        "# Changelog\n\n## Unreleased\n\n- next\n\n## 1.2.3 - 2027-01-01\n\n- this\n\n## 1.2.2\n\n- before\n";
    let notes = release(manifest, changelog, &["notes", "v1.2.3"]);
    assert_eq!(String::from_utf8(notes.stdout).unwrap().trim(), "- this");
    let unreleased = changelog.replace("## 1.2.3 - 2027-01-01\n", "");
    let nowhere = manifest.replace("repository", "homepage");
    for (manifest, changelog, tag) in [
        (manifest, changelog, "v1.2.4"),
        (manifest, &*unreleased, "v1.2.3"),
        (&*nowhere, changelog, "v1.2.3"),
    ] {
        assert!(
            !release(manifest, changelog, &["check", tag]).status.success(),
            "{tag}\n{manifest}{changelog}"
        );
    }

    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let sums = || release(manifest, changelog, &["sums", folder.path().to_str().unwrap()]).status.success();
    let linux = ["aarch64-unknown-linux-musl", "x86_64-unknown-linux-musl"];
    let archives = linux.iter().chain(&["aarch64-apple-darwin", "x86_64-apple-darwin"]);
    let mut archives: Vec<_> = archives.map(|target| format!("gemma-export-1.2.3-{target}.tar.gz")).collect();
    archives.push("gemma-export-1.2.3-x86_64-pc-windows-msvc.zip".to_owned());
    let write = |archive: &str, content: &str| {
        fs::write(path(archive), content).unwrap();
        // SHA-256 of "content"
        let hash = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73";
        fs::write(path(&format!("{archive}.sha256")), format!("{hash}  {archive}\n")).unwrap();
        fs::write(path(&format!("{archive}.whl")), "wheel").unwrap();
    };
    archives[1..].iter().for_each(|archive| write(archive, "content"));
    assert!(!sums(), "an archive is missing");
    write(&archives[0], "another content");
    assert!(!sums(), "an archive is not what was built");
    write(&archives[0], "content");
    fs::remove_file(path(&format!("{}.whl", archives[0]))).unwrap();
    assert!(!sums(), "a wheel is missing");
    archives.iter().for_each(|archive| write(archive, "content"));
    assert!(sums());
    assert_eq!(fs::read_to_string(path("SHA256SUMS")).unwrap().lines().count(), 10);
}

/// The jobs of a workflow, by name.
fn jobs(workflow: &str) -> Vec<(&str, &str)> {
    let name = Regex::new(r"(?m)^  ([\w-]+):\n").unwrap();
    let (_, jobs) = workflow.split_once("\njobs:\n").unwrap();
    let starts: Vec<_> = name.captures_iter(jobs).map(|found| found.get(1).unwrap().range()).collect();
    let ends = starts.iter().skip(1).map(|next| next.start).chain([jobs.len()]);
    starts.iter().zip(ends).map(|(name, end)| (&jobs[name.clone()], &jobs[name.end..end])).collect()
}

/// What others have written, such as a build script of a dependency, must not run where a token for the cloud or for a
/// signature can be requested. What was built elsewhere is deployed and signed by its digest.
fn built_beside_credentials(workflow: &str) -> Vec<String> {
    let builds =
        Regex::new(r"\b(cargo|scripts/package|make (?:sbom|package|gate)|npm (?:install|run))\b").unwrap();
    let mut wrong = Vec::new();
    for (name, job) in jobs(workflow).into_iter().filter(|(_, job)| job.contains("id-token: write")) {
        for line in job.lines().filter(|line| line.contains("run: ") && builds.is_match(line)) {
            wrong.push(format!("{name} runs {}", line.trim()));
        }
        if job.contains("npm ci ") && !job.contains("npm ci --ignore-scripts ") {
            wrong.push(format!("{name} runs scripts of packages"));
        }
        if job.contains("make deploy") && !job.contains("      BUILT: \"yes\"\n") {
            wrong.push(format!("{name} builds what it deploys"));
        }
        for tool in ["gcloud", "terraform"] {
            let exact = format!(
                r"/setup-{tool}@[^\n]*\n        with:\n(?:          [^\n]*\n)*?          (?:{tool}_)?version: \d+\.\d+\.\d+\n"
            );
            if job.contains(&format!("/setup-{tool}@")) && !Regex::new(&exact).unwrap().is_match(job) {
                wrong.push(format!("{name} takes whatever version of {tool} is the latest"));
            }
        }
        let at = |text: &str| job.find(text).unwrap_or(usize::MAX);
        let (checked, login) =
            (at("| sha256sum --check && tar --extract"), at("google-github-actions/auth@"));
        let expected = job.contains("SHA256: ${{ needs.build.outputs.sha256 }}\n");
        if checked == usize::MAX
            || !expected
            || checked > login
            || job.contains("npm ci") && at("npm ci") > login
        {
            wrong.push(format!("{name} has its credentials before it knows what was built"));
        }
    }
    wrong
}

#[test]
fn nothing_is_built_beside_credentials() {
    let workflow = read(".github/workflows/deploy.yml");
    assert_eq!(built_beside_credentials(&workflow), Vec::<String>::new());
    let names: Vec<_> = jobs(&workflow).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["gate", "build", "deploy", "attest"]);
    assert!(!workflow.contains("retention-days:"), "a deployment may wait for its reviewers for 30 days");
    for (from, to) in [
        ("      BUILT: \"yes\"\n", ""),
        ("      - run: make deploy\n", "      - run: make sbom && make deploy\n"),
        ("npm ci --ignore-scripts", "npm ci"),
        ("          SHA256: ${{ needs.build.outputs.sha256 }}\n", "          SHA256: abc\n"),
        ("| sha256sum --check && tar", "&& tar"),
        ("          version: 528.0.0\n", "          skip_install: false\n"),
        ("          terraform_version: 1.11.4\n", "          terraform_version: latest\n"),
        (
            "    runs-on: ubuntu-24.04\n",
            "    runs-on: ubuntu-24.04\n    permissions:\n      id-token: write\n",
        ),
    ] {
        let mutant = workflow.replacen(from, to, 1);
        let wrong = built_beside_credentials(&mutant);
        assert!(mutant != workflow && !wrong.is_empty(), "nothing minds {from:?} → {to:?}");
    }
}

/// Of a group, one run may wait: a run of main in the group of another would cancel a deployment that waits for reviewers.
#[test]
fn only_pull_requests_share_a_group_of_runs() {
    let group = "\n  group: ci-${{ github.event_name == 'pull_request' && github.ref || github.run_id }}\n";
    assert!(read(".github/workflows/ci.yml").contains(group));
}

#[test]
fn what_is_signed_are_the_pushed_digests() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pushed.tfvars.json");
    let digest = "0123456789abcdef".repeat(4);
    fs::write(&file, format!("{{\"images\":{{\"get\":\"r/p/get@sha256:{digest}\"}}}}")).unwrap();
    let output = std::process::Command::new(root().join("scripts/attestation-subjects")).arg(&file).output();
    let output = output.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let images = format!("images={{\"get\": {{\"name\": \"r/p/get\", \"digest\": \"sha256:{digest}\"}}}}");
    assert_eq!(text, format!("{images}\nchecksums<<END\n{digest}  r/p/get\nEND\n"));
}

/// Texts that say how many functions there are, or how many of them Hosting calls.
const COUNTED: [(&str, &str, &str); 6] = [
    ("docs/DEPLOY.md", "deploys the same {} functions on AWS Lambda", "all"),
    ("docs/LOCAL.md", "| {} Cloud Run services |", "all"),
    ("docs/LOCAL.md", "| the same {} routers,", "all"),
    ("terraform/examples/aws/main.tf", "# An example: the {} functions on Lambda", "all"),
    ("docs/SECURITY.md", "call the {} public functions and get 401", "public"),
    ("docs/SECURITY.md", "- {} functions have no invoker check", "public"),
];

#[test]
fn the_functions_are_counted() {
    let hosting: serde_json::Value = serde_json::from_str(&read("hosting/firebase.json")).unwrap();
    let rewrites = hosting["hosting"]["rewrites"].as_array().unwrap();
    let public: std::collections::BTreeSet<_> =
        rewrites.iter().map(|rewrite| rewrite["run"]["serviceId"].as_str().unwrap()).collect();
    let all = fs::read_dir(root().join("functions")).unwrap().count();
    for (file, text, which) in COUNTED {
        let count = if which == "all" { all } else { public.len() };
        let number = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight"][count];
        let (expected, page) = (text.replace("{}", number), read(file).to_lowercase());
        assert!(page.contains(&expected.to_lowercase()), "{file} must say {expected:?}");
    }
}

/// Workflows call `make` targets and scripts, which a person can run as well.
#[test]
fn workflows_call_verbs_that_exist() {
    let makefile = read("Makefile") + &read("packaging/deploy.mk");
    let verb = Regex::new(r"\bmake ([a-z-]+)").unwrap();
    let script = Regex::new(r"\bscripts/[a-z-]+").unwrap();
    for entry in fs::read_dir(root().join(".github/workflows")).unwrap() {
        let workflow = fs::read_to_string(entry.unwrap().path()).unwrap();
        let commands: Vec<_> = workflow.lines().filter(|line| line.contains("run: ")).collect();
        for command in commands {
            for found in verb.captures_iter(command) {
                assert!(makefile.contains(&format!("\n{}: ##", &found[1])), "there is no make {}", &found[1]);
            }
            for found in script.find_iter(command) {
                assert!(root().join(found.as_str()).exists(), "there is no {}", found.as_str());
            }
        }
    }
}
