"""Validates a JSON document against a JSON Schema: ``validate_json.py SCHEMA DOCUMENT``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from jsonschema import ValidationError, validate

schema, document = (json.loads(Path(name).read_text("utf-8")) for name in sys.argv[1:])
try:
    validate(document, schema)
except ValidationError as error:
    sys.exit(f"{sys.argv[2]} at {error.json_path}: {error.message}")
