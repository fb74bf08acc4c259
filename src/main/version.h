/* SPDX-License-Identifier: MIT */
#ifndef COHORT_MAIN_VERSION_H
#define COHORT_MAIN_VERSION_H

#ifndef COHORT_VERSION
#define COHORT_VERSION "(unversioned build)" /* the build system names it */
#endif

#endif
