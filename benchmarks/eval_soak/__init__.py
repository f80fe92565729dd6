"""`make eval-soak`: runs of `moa eval` that are killed again and again; reports/eval_soak.json."""
