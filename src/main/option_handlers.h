/* SPDX-License-Identifier: MIT */
/*
 * What each option does: one opt_<handler>() per row of options.def. They return 0, OPTION_EXIT after having printed help,
 * or -1 with the reason in *err (without the option's name).
 */
#ifndef COHORT_MAIN_OPTION_HANDLERS_H
#define COHORT_MAIN_OPTION_HANDLERS_H

struct err;
struct options;

#define OPTION_EXIT 1

#define HEADING(text)
#define OPTION(name, argument, handler, help) int opt_##handler(struct options *o, const char *arg, struct err *err);
#include "main/options.def"
#undef OPTION
#undef HEADING

#endif
