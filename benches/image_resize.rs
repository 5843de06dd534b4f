//! Resizes every file of a folder in this process and prints what a picture costs, in CPU time.
//!
//! `cargo bench --bench image_resize -- FOLDER [--out FOLDER] [--rounds N] [--config JSON]`

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its figures")]

use std::path::PathBuf;
use std::process::ExitCode;

use fanfold::job::image_resize::{ImageResizeConfig, resize};

fn main() -> ExitCode {
    let mut folder = None;
    let mut out = None;
    let mut rounds = 3;
    let mut config = r#"{ "width": 128, "height": 128, "format": "jpeg", "destination": "out" }"#.to_string();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            // Given by cargo itself.
            "--bench" => {}
            "--out" => out = arguments.next().map(PathBuf::from),
            "--rounds" => rounds = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(rounds),
            "--config" => config = arguments.next().unwrap_or(config),
            _ => folder = Some(PathBuf::from(argument)),
        }
    }
    let Some(folder) = folder else {
        // Without a folder (`cargo bench` of everything) there is nothing to measure.
        eprintln!("give a folder of pictures: cargo bench --bench image_resize -- FOLDER");
        return ExitCode::SUCCESS;
    };
    let config: ImageResizeConfig = match serde_json::from_str(&config) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("--config: {error}");
            return ExitCode::from(2);
        }
    };
    let mut files: Vec<PathBuf> = match std::fs::read_dir(&folder) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect(),
        Err(error) => {
            eprintln!("{}: {error}", folder.display());
            return ExitCode::from(2);
        }
    };
    files.sort();
    for _ in 0..rounds {
        let start = cpu_ms();
        let (mut made, mut failed, mut read_bytes, mut written) = (0u32, 0u32, 0, 0);
        for file in &files {
            let Ok(bytes) = std::fs::read(file) else { continue };
            read_bytes += bytes.len();
            match resize(&bytes, &config) {
                Ok(resized) => {
                    made += 1;
                    written += resized.bytes.len();
                    if let (Some(out), Some(name)) = (&out, file.file_name()) {
                        let _ = std::fs::create_dir_all(out);
                        let _ = std::fs::write(out.join(name), &resized.bytes);
                    }
                }
                Err(error) => {
                    failed += 1;
                    eprintln!("{}: {error}", file.display());
                }
            }
        }
        let ms = cpu_ms() - start;
        let per_file = ms / f64::from(made.max(1));
        println!(
            "{made} made, {failed} failed, {read_bytes} bytes read, {written} written, {ms:.0} ms CPU, {per_file:.3} ms each"
        );
    }
    ExitCode::SUCCESS
}

/// CPU time of this process so far, user and system.
#[cfg(target_os = "linux")]
fn cpu_ms() -> f64 {
    // Nanoseconds on the processor, of the one thread there is.
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or_default() / 1e6
}

#[cfg(not(target_os = "linux"))]
fn cpu_ms() -> f64 {
    use std::sync::OnceLock;
    static START: OnceLock<std::time::Instant> = OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed().as_secs_f64() * 1e3
}
