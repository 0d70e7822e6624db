//! The documents of an exported image.

use serde_json::{Value, json};

use crate::image::digest::Digest;
use crate::image::{ImageError, document, json};

/// The configuration for one layer: as it was, when this is the layer that it had.
pub(super) fn config(original: &[u8], diff_id: &Digest) -> Result<Vec<u8>, ImageError> {
    const NAME: &str = "the image's configuration";
    if document::parse(original, NAME)?.diff_ids == [diff_id.clone()] {
        return Ok(original.to_vec());
    }
    let mut config: Value = json::parse(original, NAME)?;
    let created = config["created"].clone();
    config["rootfs"] = json!({ "type": "layers", "diff_ids": [diff_id] });
    // There is one entry for each layer, and those of before have no layer any more.
    let mut step = json!({ "created_by": "sampanctl export" });
    if created.is_string() {
        step["created"] = created;
    }
    config["history"] = json!([step]);
    Ok(config.to_string().into_bytes())
}

/// A pointer to a blob.
pub(super) fn descriptor(media_type: &str, digest: &Digest, size: u64) -> Value {
    json!({ "mediaType": media_type, "digest": digest, "size": size })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_layers_say_changes() {
        let (old, new) = (Digest::of(b"old"), Digest::of(b"new"));
        let original = format!(
            r#"{{"os":"linux","config":{{"Cmd":["x"]}},"created":"2026-01-01T00:00:00Z",
            "history":[{{}},{{}}],"rootfs":{{"type":"layers","diff_ids":["{old}"]}}}}"#
        );
        assert_eq!(config(original.as_bytes(), &old).unwrap(), original.as_bytes());
        let changed: Value = serde_json::from_slice(&config(original.as_bytes(), &new).unwrap()).unwrap();
        assert_eq!(changed["rootfs"]["diff_ids"], json!([new]));
        assert_eq!(changed["config"]["Cmd"], json!(["x"]));
        assert_eq!(changed["history"].as_array().unwrap().len(), 1);
    }
}
