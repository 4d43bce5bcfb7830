/* The grammar of PTX: statements and declarations only. What an opcode's words and operands mean is
 * runtime/ptxsim/core/decode.c's; here an instruction is a name, modifiers and operands. An action is one
 * call of a builder (core/ptx.c). A location is a line. */
%expect 0
%define api.prefix {ptx_yy}
%define api.token.prefix {PTX_}
%define api.pure full
%define api.location.type {int}
%define parse.error detailed
%define parse.lac full
%locations
%param {struct ptx_parser *p}

%code requires {
#include "ptx.h"
#include <string.h>
}
%union {
    const char *text;
    int64_t value;
    struct ptx_operand *operand;
    struct ptx_operands operands;
    struct ptx_words words;
    struct ptx_stmts stmts;
    struct ptx_decls decls;
    struct ptx_decl *decl;
    struct ptx_decl quals;
    struct ptx_init *init;
    struct ptx_inits inits;
    struct ptx_ints ints;
}
%code provides {
int ptx_yyparse(struct ptx_parser *p);
}
%code {
#define YYLLOC_DEFAULT(now, rhs, n) ((now) = (n) ? YYRHSLOC(rhs, 1) : YYRHSLOC(rhs, 0))
int ptx_yylex(YYSTYPE *v, YYLTYPE *at, void *scanner);
#undef yylex
#define yylex(v, at, p) ptx_yylex(v, at, (p)->scanner)
static void yyerror(YYLTYPE *at, struct ptx_parser *p, const char *text) { ptx_syntax(p, *at, text); }
}

%token YYEOF 0 "the end of the text"
%token <text> T_NAME "a name" T_DOT "a modifier" T_STRING "a string" T_SPACE "a state space" T_LINK "a linkage"
%token <text> T_FDIR "a directive of a function"
%token <value> T_INT "a number" T_F32 "an f32 number" T_F64 "an f64 number" T_DECIMAL "a decimal number"
%token T_SINK "`_`" T_VERSION "`.version`" T_TARGET "`.target`" T_ADDRESS "`.address_size`"
%token T_ENTRY "`.entry`" T_FUNC "`.func`" T_FILE "`.file`" T_LOC "`.loc`" T_PRAGMA "`.pragma`"
%token T_ALIAS "`.alias`" T_ALIGN "`.align`" T_ATTRIBUTE "`.attribute`" T_PTR "`.ptr`"
%token T_TARGETS "`.branchtargets`" T_PROTO "`.callprototype`"

%type <operand> operand plain atom
%type <operands> operands operand_list atoms mem_items
%type <words> mods names
%type <text> mod
%type <stmts> body stmts stmt instruction
%type <decls> params param_list param result declarators
%type <decl> declarator
%type <quals> quals
%type <init> init
%type <inits> inits
%type <ints> ints
%type <value> number address_add

%%
file:
    %empty
  | file item
  ;

item:
    T_VERSION T_DECIMAL                 { double d; memcpy(&d, &$2, sizeof d); p->module->version = (int)(d * 10 + 0.5); }
  | T_TARGET targets
  | T_ADDRESS T_INT                     { p->module->address_bits = (int)$2; }
  | T_FILE T_INT T_STRING               { ptx_add_file(p, $2, $3); }
  | T_FILE T_INT T_STRING ',' T_INT ',' T_INT { ptx_add_file(p, $2, $3); }
  | T_PRAGMA T_STRING ';'
  | T_ALIAS T_NAME ',' T_NAME ';'       { ptx_syntax(p, @1, "`.alias` is not supported"); }
  | quals declarators ';'               { ptx_add_vars(p, ptx_apply_quals($1, $2)); }
  | head directives ';'                 { ptx_function_end(p, false, (struct ptx_stmts){0}, @3); }
  | head directives '{' body '}'        { ptx_function_end(p, true, $4, @5); }
  | error ';'
  | error '}'
  ;

targets:
    T_NAME                              { ptx_target(p, $1, @1); }
  | targets ',' T_NAME                  { ptx_target(p, $3, @3); }
  ;

head:
    T_ENTRY T_NAME                      { ptx_function_begin(p, (struct ptx_decl){0}, true, (struct ptx_decls){0}, $2, @2); }
    params                              { p->current->params = $4.first; }
  | quals T_ENTRY T_NAME                { ptx_function_begin(p, $1, true, (struct ptx_decls){0}, $3, @3); }
    params                              { p->current->params = $5.first; }
  | T_FUNC result T_NAME                { ptx_function_begin(p, (struct ptx_decl){0}, false, $2, $3, @3); }
    params                              { p->current->params = $5.first; }
  | quals T_FUNC result T_NAME          { ptx_function_begin(p, $1, false, $3, $4, @4); }
    params                              { p->current->params = $6.first; }
  ;

result:
    %empty                              { $$ = (struct ptx_decls){0}; }
  | '(' ')'                             { $$ = (struct ptx_decls){0}; }
  | '(' param_list ')'                  { $$ = $2; }
  ;

params:
    %empty                              { $$ = (struct ptx_decls){0}; }
  | '(' ')'                             { $$ = (struct ptx_decls){0}; }
  | '(' param_list ')'                  { $$ = $2; }
  ;

param_list:
    param
  | param_list ',' param                { $$ = ptx_decls_join($1, $3); }
  ;

param:
    quals declarator                    { $$ = ptx_apply_quals($1, (struct ptx_decls){$2, $2}); }
  ;

directives:
    %empty
  | directives T_FDIR ints              { ptx_function_directive(p, $2, $3, @2); }
  | directives T_PRAGMA T_STRING ';'
  ;

ints:
    %empty                              { $$ = (struct ptx_ints){0}; }
  | T_INT                               { $$ = (struct ptx_ints){{$1}, 1}; }
  | T_INT ',' T_INT                     { $$ = (struct ptx_ints){{$1, $3}, 2}; }
  | T_INT ',' T_INT ',' T_INT           { $$ = (struct ptx_ints){{$1, $3, $5}, 3}; }
  ;

/* ---- declarations ---- */
quals:
    T_LINK                              { $$ = (struct ptx_decl){0}; ptx_qual_word(p, &$$, $1, @1); }
  | T_SPACE                             { $$ = (struct ptx_decl){0}; ptx_qual_word(p, &$$, $1, @1); }
  | quals T_LINK                        { $$ = $1; ptx_qual_word(p, &$$, $2, @2); }
  | quals T_SPACE                       { $$ = $1; ptx_qual_word(p, &$$, $2, @2); }
  | quals T_DOT                         { $$ = $1; ptx_qual_word(p, &$$, $2, @2); }
  | quals T_ALIGN T_INT                 { $$ = $1; if ($$.pointer) {} else $$.align = $3 > 0 && $3 <= 1 << 20 ? (uint32_t)$3 : UINT32_MAX; }
  | quals T_PTR                         { $$ = $1; $$.pointer = true; }
  | quals T_ATTRIBUTE '(' T_DOT ')'     { $$ = $1; ptx_qual_word(p, &$$, $4, @4); }
  ;

declarators:
    declarator                          { $$ = (struct ptx_decls){$1, $1}; }
  | declarators ',' declarator          { $$ = ptx_decls_join($1, (struct ptx_decls){$3, $3}); }
  ;

declarator:
    T_NAME                              { $$ = ptx_decl(p, $1, @1); }
  | T_SINK                              { $$ = ptx_decl(p, "_", @1); }
  | T_NAME '<' T_INT '>'                { $$ = ptx_decl(p, $1, @1); if ($$) $$->range = $3 > 0 ? $3 : -1; }
  | declarator '[' ']'                  { $$ = $1; ptx_dims(p, $$, 0, false); }
  | declarator '[' T_INT ']'            { $$ = $1; ptx_dims(p, $$, $3, true); }
  | declarator '=' init                 { $$ = $1; if ($$) $$->init = $3; }
  ;

init:
    number                              { $$ = ptx_init(p, $1); }
  | T_DECIMAL                           { $$ = ptx_init(p, $1); if ($$) $$->real = true; }
  | T_NAME address_add                  { $$ = ptx_init(p, $2); if ($$) $$->name = $1; }
  | T_NAME '(' T_NAME address_add ')' address_add { $$ = ptx_init(p, $4 + $6); if ($$) { $$->name = $3; $$->generic = true; } }
  | T_INT '(' T_NAME address_add ')'    { $$ = ptx_init(p, $4); if ($$) { $$->name = $3; $$->masked = true; $$->mask_shift = ptx_mask_shift($1); } }
  | '{' inits '}'                       { $$ = ptx_init(p, 0); if ($$) { $$->list = true; $$->items = $2.first; } }
  | '{' '}'                             { $$ = ptx_init(p, 0); if ($$) $$->list = true; }
  ;

inits:
    init                                { $$ = ptx_inits_add((struct ptx_inits){0}, $1); }
  | inits ',' init                      { $$ = ptx_inits_add($1, $3); }
  ;

number:
    T_INT
  | '-' T_INT                           { $$ = (int64_t)-(uint64_t)$2; }
  | T_F32
  | T_F64
  ;

address_add:
    %empty                              { $$ = 0; }
  | '+' T_INT                           { $$ = $2; }
  | '+' '-' T_INT                       { $$ = (int64_t)-(uint64_t)$3; }
  | '-' T_INT                           { $$ = (int64_t)-(uint64_t)$2; }
  ;

/* ---- statements ---- */
body: stmts ;

stmts:
    %empty                              { $$ = (struct ptx_stmts){0}; }
  | stmts stmt                          { $$ = ptx_stmts_join($1, $2); }
  ;

stmt:
    instruction ';'
  | '@' T_NAME instruction ';'          { $$ = $3; if ($$.first) $$.first->guard = $2; }
  | '@' '!' T_NAME instruction ';'      { $$ = $4; if ($$.first) { $$.first->guard = $3; $$.first->guard_negated = true; } }
  | T_NAME ':'                          { $$ = ptx_stmt(p, PTX_LABEL, $1, @1); }
  | T_NAME ':' T_TARGETS names ';'      { $$ = ptx_stmt(p, PTX_TARGETS, $1, @1); if ($$.first) $$.first->words = $4.first; }
  | T_NAME ':' T_PROTO result T_SINK params directives ';'
                                        { $$ = ptx_stmt(p, PTX_PROTO, $1, @1); if ($$.first) { $$.first->decls = $4.first; $$.first->params = $6.first; } }
  | quals declarators ';'               { $$ = ptx_stmt(p, PTX_DECL, NULL, @1); if ($$.first) $$.first->decls = ptx_apply_quals($1, $2).first; }
  | T_LOC T_INT T_INT T_INT             { $$ = ptx_loc(p, $2, $3, @1); }
  | T_LOC T_INT T_INT T_INT ',' T_NAME T_NAME address_add ',' T_NAME T_INT T_INT T_INT
                                        { $$ = ptx_loc(p, $2, $3, @1); }
  | T_PRAGMA T_STRING ';'               { $$ = (struct ptx_stmts){0}; }
  | '{' stmts '}'                       { $$ = ptx_stmts_join(ptx_stmts_join(ptx_stmt(p, PTX_OPEN, NULL, @1), $2), ptx_stmt(p, PTX_CLOSE, NULL, @3)); }
  | error ';'                           { $$ = (struct ptx_stmts){0}; }
  ;

names:
    T_NAME                              { $$ = ptx_words_add(p, (struct ptx_words){0}, $1); }
  | names ',' T_NAME                    { $$ = ptx_words_add(p, $1, $3); }
  ;

instruction:
    T_NAME mods operands                { $$ = ptx_instruction(p, $1, $2, $3, @1); }
  ;

mods:
    %empty                              { $$ = (struct ptx_words){0}; }
  | mods mod                            { $$ = ptx_words_add(p, $1, $2); }
  ;

mod: T_DOT | T_SPACE | T_LINK ;

operands:
    %empty                              { $$ = (struct ptx_operands){0}; }
  | operand_list
  ;

operand_list:
    operand                             { $$ = ptx_operands_add((struct ptx_operands){0}, $1); }
  | operand_list ',' operand            { $$ = ptx_operands_add($1, $3); }
  ;

operand:
    plain
  | plain '|' plain                     { $$ = ptx_group(p, PTX_PAIR, ptx_operands_add(ptx_operands_add((struct ptx_operands){0}, $1), $3), @1); }
  | '(' atoms ')'                       { $$ = ptx_group(p, PTX_LIST, $2, @1); }
  | '(' ')'                             { $$ = ptx_group(p, PTX_LIST, (struct ptx_operands){0}, @1); }
  ;

plain:
    atom
  | '!' T_NAME                          { $$ = ptx_name(p, $2, NULL, 0, @2); if ($$) $$->negated = true; }
  | '{' atoms '}'                       { $$ = ptx_group(p, PTX_VECTOR, $2, @1); }
  | '[' mem_items ']'                   { $$ = ptx_group(p, PTX_MEM, $2, @1); }
  ;

atoms:
    atom                                { $$ = ptx_operands_add((struct ptx_operands){0}, $1); }
  | atoms ',' atom                      { $$ = ptx_operands_add($1, $3); }
  ;

mem_items:
    atom                                { $$ = ptx_operands_add((struct ptx_operands){0}, $1); }
  | mem_items ',' atom                  { $$ = ptx_operands_add($1, $3); }
  | mem_items ',' '{' atoms '}'         { $$ = ptx_operands_add($1, ptx_group(p, PTX_VECTOR, $4, @3)); }
  ;

atom:
    T_NAME address_add                  { $$ = ptx_name(p, $1, NULL, $2, @1); }
  | T_NAME T_DOT address_add            { $$ = ptx_name(p, $1, $2, $3, @1); }
  | T_NAME '[' T_INT ']'                { $$ = ptx_name(p, $1, NULL, $3, @1); if ($$) $$->kind = PTX_ELEMENT; }
  | '-' T_NAME                          { $$ = ptx_name(p, $2, NULL, 0, @2); if ($$) $$->minus = true; }
  | T_INT                               { $$ = ptx_number(p, PTX_INT, $1, @1); }
  | '-' T_INT                           { $$ = ptx_number(p, PTX_INT, (int64_t)-(uint64_t)$2, @2); }
  | T_INT '+' T_INT                     { $$ = ptx_number(p, PTX_INT, (int64_t)((uint64_t)$1 + (uint64_t)$3), @1); }
  | T_F32                               { $$ = ptx_number(p, PTX_F32, $1, @1); }
  | T_F64                               { $$ = ptx_number(p, PTX_F64, $1, @1); }
  | T_DECIMAL                           { $$ = ptx_number(p, PTX_F64, $1, @1); }
  | '-' T_DECIMAL                       { $$ = ptx_number(p, PTX_F64, (int64_t)((uint64_t)$2 ^ (uint64_t)1 << 63), @2); }
  | T_SINK                              { $$ = ptx_operand(p, PTX_SINK, @1); }
  ;
%%
