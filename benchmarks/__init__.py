"""Measure smtplibaio against its peers and against the bare socket."""
