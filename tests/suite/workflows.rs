//! The workflows that come with fanfold: each is checked, fits the schema that editors get, and does what it says.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use fanfold::{Jobs, Workflow};
use image::metadata::Orientation;
use image::{DynamicImage, GenericImageView, ImageDecoder, ImageReader, Rgb, RgbImage};
use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

use crate::stage::{Stage, finished};

/// The sample's pictures that are stored lying on their side.
const TURNED: [&str; 3] = ["dandelion-02", "museum-01", "osprey-02"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("workflows")
}

fn files() -> Vec<PathBuf> {
    let entries = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|ending| ending == "yaml")).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// The bytes of the sample's pictures, in the order of their names.
pub fn sample_photos() -> Vec<Vec<u8>> {
    let mut photos: Vec<_> = fs::read_dir(folder().join("samples/photos")).unwrap().map(|entry| entry.unwrap().path()).collect();
    photos.retain(|path| path.is_file());
    photos.sort();
    photos.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// A folder with a copy of `workflows/` in it.
pub fn stage() -> Stage {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let to = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                copy(&entry.path(), &to);
            } else {
                fs::copy(entry.path(), to).unwrap();
            }
        }
    }
    let stage = Stage::new();
    copy(&folder(), &stage.path("workflows"));
    stage
}

/// A YAML document as JSON, as an editor sees it.
fn json(text: &str) -> Value {
    fn value(parser: &mut impl Iterator<Item = Event<'static>>, event: Event<'static>) -> Value {
        match event {
            Event::Scalar(text, ScalarStyle::Plain, ..) => match serde_json::from_str(&text) {
                Ok(value @ (Value::Number(_) | Value::Bool(_) | Value::Null)) => value,
                _ => Value::String(text.into_owned()),
            },
            Event::Scalar(text, ..) => Value::String(text.into_owned()),
            Event::SequenceStart(..) => {
                let mut list = Vec::new();
                loop {
                    match parser.next().unwrap() {
                        Event::SequenceEnd => return Value::Array(list),
                        event => list.push(value(parser, event)),
                    }
                }
            }
            Event::MappingStart(..) => {
                let mut map = Map::new();
                loop {
                    match parser.next().unwrap() {
                        Event::MappingEnd => return Value::Object(map),
                        Event::Scalar(key, ..) => {
                            let event = parser.next().unwrap();
                            map.insert(key.into_owned(), value(parser, event));
                        }
                        other => panic!("a key: {other:?}"),
                    }
                }
            }
            other => panic!("a value: {other:?}"),
        }
    }
    let text: &'static str = Box::leak(text.to_string().into_boxed_str());
    let mut events = Parser::new_from_str(text).map(|event| event.unwrap().0);
    let mut events = events.by_ref().skip_while(|event| matches!(event, Event::StreamStart | Event::DocumentStart(_)));
    let first = events.next().unwrap();
    value(&mut events, first)
}

#[test]
fn every_workflow_is_without_mistake_and_fits_the_schema() {
    let schema = jsonschema::validator_for(&fanfold::workflow::schema(&Jobs::builtin())).unwrap();
    for file in files() {
        let workflow = Workflow::load(&file, &Jobs::builtin()).unwrap_or_else(|error| panic!("{error}"));
        workflow.bind(&[], Path::new("/")).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert_eq!(file.file_stem().unwrap(), workflow.name.as_str(), "a workflow is called like its file");
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("# yaml-language-server: $schema=./schema.json\n"), "{}", file.display());
        let wrong: Vec<String> = schema.iter_errors(&json(&text)).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{}: {wrong:#?}", file.display());
    }
}

#[test]
fn the_schema_beside_the_workflows_is_that_of_the_program() {
    let path = folder().join("schema.json");
    let expected = format!("{:#}\n", fanfold::workflow::schema(&Jobs::builtin()));
    if std::env::var_os("FANFOLD_BLESS").is_some() {
        fs::write(&path, &expected).unwrap();
    }
    let printed = stage().run_fanfold(&["schema"]).ended(0).out;
    assert_eq!(printed, expected);
    assert!(fs::read_to_string(&path).unwrap() == expected, "schema.json is old; FANFOLD_BLESS=1 writes it anew");
}

/// The names of all files below a folder, with what is in them.
fn below(folder: &Path) -> BTreeMap<String, PathBuf> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path.strip_prefix(folder).unwrap().to_str().unwrap().to_string(), path);
            }
        }
    }
    files
}

/// A picture as it is to be seen, and whether it is stored in another way.
fn upright(path: &Path) -> (DynamicImage, bool) {
    let mut decoder = ImageReader::open(path).unwrap().with_guessed_format().unwrap().into_decoder().unwrap();
    let orientation = decoder.orientation().unwrap();
    let mut picture = DynamicImage::from_decoder(decoder).unwrap();
    picture.apply_orientation(orientation);
    (picture, orientation != Orientation::NoTransforms)
}

/// How much two pictures of one size differ, on average, in steps of 256.
fn difference(a: &RgbImage, b: &RgbImage) -> f64 {
    assert_eq!(a.dimensions(), b.dimensions());
    let sum: u64 = a.as_raw().iter().zip(b.as_raw()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.as_raw().len() as f64
}

#[test]
fn resize_photos_makes_a_thumbnail_of_every_sample() {
    let stage = stage();
    let end = finished(&stage.run_fanfold(&["run", "workflows/resize-photos.yaml", "--json"]).ended(0).lines());
    assert_eq!((&end["status"], &end["items"]["succeeded"]), (&Value::from("SUCCEEDED"), &Value::from(75)));
    assert_eq!((&end["batches"], &end["attempts"]), (&Value::from(1), &Value::from(75)));

    let thumbnails = below(&stage.path("thumbnails"));
    let photos = below(&stage.path("workflows/samples/photos"));
    assert_eq!((photos.len(), thumbnails.len()), (75, 75), "nothing is missing, and nothing is left over");
    let mut turned = Vec::new();
    for (name, path) in &photos {
        let stem = name.rsplit_once('.').unwrap().0;
        let (photo, is_turned) = upright(path);
        let made =
            ImageReader::open(&thumbnails[&format!("{stem}.jpg")]).unwrap().decode().unwrap_or_else(|e| panic!("{name}: {e}"));
        let ((w, h), (width, height)) = (photo.dimensions(), made.dimensions());
        assert_eq!(width.max(height), 128, "{name}");
        // The shape is kept, to the nearest pixel.
        let scale = 128.0 / f64::from(w.max(h));
        assert!((f64::from(w) * scale - f64::from(width)).abs() <= 0.5, "{name}: {w} x {h} became {width} x {height}");
        assert!((f64::from(h) * scale - f64::from(height)).abs() <= 0.5, "{name}: {w} x {h} became {width} x {height}");
        if is_turned {
            turned.push(stem);
            let expected = photo.thumbnail_exact(width, height).to_rgb8();
            assert!(difference(&expected, &made.to_rgb8()) < 8.0, "{name} is upright");
            assert!(difference(&image::imageops::rotate180(&expected), &made.to_rgb8()) > 16.0, "{name}: the test can fail");
        }
    }
    assert_eq!(turned, TURNED);
}

#[test]
fn what_is_transparent_in_a_sample_is_white_in_its_thumbnail() {
    let stage = stage();
    stage.run_fanfold(&["run", "workflows/resize-photos.yaml", "--only", "saturn-01.png"]).ended(3);
    let photo = upright(&stage.path("workflows/samples/photos/saturn-01.png")).0;
    assert_eq!(photo.get_pixel(0, 0).0[3], 0, "the sample is transparent there");
    let made = image::open(stage.path("thumbnails/saturn-01.jpg")).unwrap().to_rgb8();
    let Rgb(corner) = made.get_pixel(0, 0);
    assert!(corner.iter().all(|part| *part >= 250), "{corner:?}");
    assert!(made.pixels().any(|Rgb(pixel)| pixel.iter().any(|part| *part < 200)), "and there is a planet");
}
