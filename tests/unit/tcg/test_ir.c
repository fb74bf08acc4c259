/* SPDX-License-Identifier: MIT */
/*
 * Building, printing, parsing and verifying IR, and the optimizer's results, by the files of tests/ir. A file is a list
 * of cases:
 *
 *     case NAME
 *     in
 *       IR text
 *     out                 what opt_run() makes of it (left out: not compared)
 *       IR text
 *     error TEXT          what the verifier says of `in` (left out: nothing)
 */
#include "support/test.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "tcg/ir/ir_parse.h"
#include "tcg/opt/opt.h"
#include "unit/tcg/ir_fuzz.h"

#define TEXT_MAX 8192

struct golden {
	char name[128], error[128];
	char in[TEXT_MAX], out[TEXT_MAX];
	bool has_out;
};

static struct ir_block *block;

static void append(void *opaque, const char *text)
{
	char *to = opaque;
	size_t n = strlen(to);

	snprintf(to + n, TEXT_MAX - n, "%s\n", text);
}

static void parse_text(struct ir_block *b, const char *where, const char *text)
{
	char line[512];

	while (*text) {
		size_t n = strcspn(text, "\n");
		const char *bad;

		snprintf(line, sizeof(line), "%.*s", (int)n, text);
		bad = ir_parse_line(b, line);
		if (bad) {
			print_error("%s: %s: %s\n", where, line, bad);
			fail();
		}
		text += n + (text[n] == '\n');
	}
}

static void begin(struct ir_block *b)
{
	ir_reset(b);
	b->rt = ir_fuzz_rt;
	b->nr_rt = ir_fuzz_nr_rt;
}

/* Spacing and the blanks in front of comments do not count. */
static void normalize(char *text)
{
	char *to = text;
	bool blank = true;

	for (const char *p = text; *p; p++) {
		bool is_blank = *p == ' ' || *p == '\t';

		if (is_blank && (blank || p[1] == ' ' || p[1] == '\t' || p[1] == '\n'))
			continue;
		blank = *p == '\n';
		*to++ = *p;
	}
	*to = 0;
}

static void run_case(const char *file, struct golden *g)
{
	char where[300], got[TEXT_MAX] = "";
	const char *bad;
	unsigned at;

	snprintf(where, sizeof(where), "%s: %s", file, g->name);
	begin(block);
	parse_text(block, where, g->in);
	bad = ir_verify(block, &at);
	if (g->error[0] ? !bad || strcmp(bad, g->error) : bad != NULL) {
		print_error("%s: verifier says \"%s\" (insn %u), not \"%s\"\n", where, bad ? bad : "", at, g->error);
		fail();
	}
	if (bad || !g->has_out)
		return;
	opt_run(block);
	ir_print(block, append, got);
	normalize(got);
	normalize(g->out);
	if (strcmp(got, g->out)) {
		print_error("%s: optimized to\n%s", where, got);
		fail();
	}
}

static unsigned run_file(const char *path)
{
	static struct golden g;
	FILE *f = fopen(path, "r");
	char line[512], *section = NULL;
	unsigned cases = 0;

	assert_non_null(f);
	g.name[0] = 0;
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		if (line[0] == '#' || !line[0])
			continue;
		if (!strncmp(line, "case ", 5)) {
			if (g.name[0])
				run_case(path, &g);
			memset(&g, 0, sizeof(g));
			snprintf(g.name, sizeof(g.name), "%.100s", line + 5);
			section = NULL;
			cases++;
		} else if (!strcmp(line, "in")) {
			section = g.in;
		} else if (!strcmp(line, "out")) {
			section = g.out;
			g.has_out = true;
		} else if (!strncmp(line, "error ", 6)) {
			snprintf(g.error, sizeof(g.error), "%.120s", line + 6);
		} else {
			assert_non_null(section);
			append(section, line);
		}
	}
	if (g.name[0])
		run_case(path, &g);
	fclose(f);
	return cases;
}

static void golden_files(void **state)
{
	const char *top = getenv("top_srcdir");
	char dir[200], path[500];
	unsigned cases = 0;
	struct dirent *e;
	DIR *d;

	(void)state;
	snprintf(dir, sizeof(dir), "%s/tests/ir", top ? top : ".");
	d = opendir(dir);
	if (!d) {
		print_message("%s is not there\n", dir);
		skip();
	}
	while ((e = readdir(d))) {
		size_t n = strlen(e->d_name);

		if (n < 4 || strcmp(e->d_name + n - 3, ".ir"))
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		cases += run_file(path);
	}
	closedir(d);
	assert_true(cases > 0);
}

static void what_is_printed_can_be_read_again(void **state)
{
	static char first[IR_MAX_INSNS * 64], again[IR_MAX_INSNS * 64];
	static struct ir_block copy;

	(void)state;
	for (uint64_t seed = 1; seed < 300; seed++) {
		unsigned at;

		ir_fuzz_block(block, seed, 30);
		first[0] = again[0] = 0;
		ir_print(block, append, first);
		begin(&copy);
		copy.nr_labels = block->nr_labels;
		parse_text(&copy, "printed", first);
		ir_print(&copy, append, again);
		assert_string_equal(first, again);
		assert_null(ir_verify(&copy, &at));
	}
}

static void a_full_block_drops_and_says_so(void **state)
{
	(void)state;
	ir_reset(block);
	assert_true(ir_room(block));
	for (unsigned n = 0; n < IR_MAX_INSNS + 100; n++) {
		ir_emit(block, IR_NOT, IR_I64, IR_G(0), IR_G(0), IR_NONE);
		ir_temp(block);
		ir_label(block);
		ir_mem(block, &(struct ir_mem){.base = IR_NONE, .index = IR_NONE});
	}
	assert_false(ir_room(block));
	assert_true(block->nr_insns <= IR_MAX_INSNS && block->nr_temps <= IR_MAX_TEMPS &&
		    block->nr_mems <= IR_MAX_MEMS);
}

static void every_op_has_a_name_and_a_shape(void **state)
{
	(void)state;
	for (unsigned n = 0; n < IR_OP_COUNT; n++) {
		assert_non_null(ir_op_info[n].name);
		for (unsigned k = 0; k < n; k++)
			assert_string_not_equal(ir_op_info[n].name, ir_op_info[k].name);
	}
}

static int setup(void **state)
{
	(void)state;
	block = calloc(1, sizeof(*block));
	return block ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	free(block);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(golden_files, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_printed_can_be_read_again, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_block_drops_and_says_so, setup, teardown),
		cmocka_unit_test_setup_teardown(every_op_has_a_name_and_a_shape, setup, teardown),
	};

	return RUN_TESTS(tests);
}
