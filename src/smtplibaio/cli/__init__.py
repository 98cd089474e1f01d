"""The command line: `smtplibaio send`, `smtplibaio probe`, `smtplibaio demo`."""

from .main import main

__all__ = ["main"]
