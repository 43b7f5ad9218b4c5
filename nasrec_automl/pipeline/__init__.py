"""The stages of a job, each resumable, and the job that chains them."""
