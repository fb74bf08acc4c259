#!/bin/sh
# SPDX-License-Identifier: MIT
# Makes ./configure from configure.ac.
cd "$(dirname "$0")" && exec autoreconf --force --install
