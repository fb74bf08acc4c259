# SPDX-License-Identifier: MIT
check_scripts += \
	tests/meta/check-guest-table \
	tests/meta/check-headers \
	tests/meta/check-includes \
	tests/meta/check-ir \
	tests/meta/check-sources \
	tests/meta/check-words
