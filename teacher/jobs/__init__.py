"""The labelling job: plan, share out, label, commit, verify; on one machine or on many."""
