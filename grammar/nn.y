/* The grammar: LALR(1) as it stands, without precedence declarations. An action is one call of a
 * builder (compiler/front/tree.c). END is `;` or the end of a line, as compiler/front/lex.c sees it; each
 * statement and declaration has exactly one, so that recovery has a place to stop at. */
%expect 0
%define api.prefix {nn_}
%define api.token.prefix {NN_}
%define api.pure full
%define api.value.type {union nn_value}
%define api.location.type {struct loc}
%define parse.error custom
%define parse.lac full
%param {struct nn_parser *p}

%code requires {
#include "front/parser.h"
}
%code provides {
int nn_parse(struct nn_parser *p);
const char *nn_token_text(int kind);
}
%code {
#define YYLLOC_DEFAULT(now, rhs, n)                                                               \
    ((now) = (n) ? (struct loc){YYRHSLOC(rhs, 1).file, YYRHSLOC(rhs, 1).lo, YYRHSLOC(rhs, n).hi}   \
                 : (struct loc){YYRHSLOC(rhs, 0).file, YYRHSLOC(rhs, 0).hi, YYRHSLOC(rhs, 0).hi})
}

%token <name> NAME "a name"
%token <i> INT "a number" TRUE "`true`" FALSE "`false`"
%token <f> FLOAT "a number with a point"
%token <string> STRING "a string"
%token END "the end of the line"
%token YYEOF 0 "the end of the file"
%token USE "`use`" AS "`as`" CONST "`const`" EXPORT "`export`" FN "`fn`" LAYER "`layer`"
%token MODEL "`model`" OPTIMIZER "`optimizer`" DATASET "`dataset`" TRAIN "`train`" ON "`on`"
%token FROM "`from`" METRIC "`metric`" PARAM "`param`" STATE "`state`" RETURN "`return`"
%token YIELD "`yield`" IF "`if`" ELSE "`else`" FOR "`for`" IN "`in`" SCAN "`scan`"
%token CHECKPOINT "`checkpoint`" GRADIENT "`gradient`" AND "`and`" OR "`or`" NOT "`not`"
%token ARROW "`->`" ELLIPSIS "`...`" DOTS "`..`" POWER "`**`" PIPE "`|>`"
%token <op> COMPARE "a comparison" PLUS "`+`" MINUS "`-`" TIMES "`*`"
%token '(' "`(`" ')' "`)`" '[' "`[`" ']' "`]`" '{' "`{`" '}' "`}`"
%token '=' "`=`" ',' "`,`" ':' "`:`" '.' "`.`"

%type <decl> decl head
%type <word> word
%type <fn> signature body gradient
%type <names> path names
%type <name> alias rule
%type <entries> entries
%type <fields> sources
%type <params> group params members
%type <param> param member
%type <type> type result
%type <items> items subs dims dim_list
%type <item> item sub dim
%type <stmt> stmt
%type <block> stmts
%type <body> block else
%type <exprs> exprs
%type <expr> expr rhs scan maybe or_expr and_expr not_expr comparison range sum product unary power
%type <expr> postfix primary

%%
file:
    %empty
  | file decl               { tree_add(p, $2); }
  | file END
  | file error END          { yyerrok; nn_resync(p); }
  ;

/* ---- declarations ---- */
decl:
    USE path alias END                            { $$ = tree_use(p, $2, $3, @$); }
  | CONST NAME '=' expr END                       { $$ = tree_const(p, $2, $4, @$); }
  | head signature result body gradient END       { $$ = tree_function(p, $1, $2, $3, $4, $5, @$); }
  | EXPORT head signature result body gradient END
      { $$ = tree_export(p, tree_function(p, $2, $3, $4, $5, $6, @$), @1); }
  | DATASET NAME open entries '}' END             { $$ = tree_dataset(p, $2, $4, @$); }
  | TRAIN items ON names block END                { $$ = tree_train(p, $2, $4, $5, @$); }
  | head error after                              { $$ = NULL; }
  | word error after                              { $$ = NULL; }
  | EXPORT error after                            { $$ = NULL; }
  | TRAIN error after                             { $$ = NULL; }
  | DATASET error open entries '}' END            { $$ = NULL; }
  | DATASET error END                             { $$ = NULL; yyerrok; nn_resync(p); }
  ;
after: /* what recovery goes on with: the body, or behind the declaration */
    block END
  | END                                           { yyerrok; nn_resync(p); }
  ;
open:
    '{'                                           { yyerrok; nn_resync(p); }
  ;
word:
    FN                      { $$ = TREE_FN; }
  | LAYER                   { $$ = TREE_LAYER; }
  | MODEL                   { $$ = TREE_MODEL; }
  | OPTIMIZER               { $$ = TREE_OPTIMIZER; }
  ;
head:
    word NAME               { $$ = tree_head(p, $1, $2, @$); }
  ;
path:
    NAME                    { $$ = (struct tree_names){0}; TREE_PUSH(p, &$$, $1); }
  | path '.' NAME           { $$ = $1; TREE_PUSH(p, &$$, $3); }
  ;
alias:
    %empty                  { $$ = (struct tree_name){0}; }
  | AS NAME                 { $$ = $2; }
  ;
names:
    NAME                    { $$ = (struct tree_names){0}; TREE_PUSH(p, &$$, $1); }
  | names ',' NAME          { $$ = $1; TREE_PUSH(p, &$$, $3); }
  ;

/* ---- signatures and types ---- */
signature:
    group                   { $$ = tree_signature(p, NULL, &$1, @1); }
  | group group             { $$ = tree_signature(p, &$1, &$2, @2); }
  ;
group:
    '(' ')'                 { $$ = (struct tree_params){0}; }
  | '(' params ')'          { $$ = $2; }
  | '(' params ',' ')'      { $$ = $2; }
  ;
params:
    param                   { $$ = (struct tree_params){0}; TREE_PUSH(p, &$$, $1); }
  | params ',' param        { $$ = $1; TREE_PUSH(p, &$$, $3); }
  ;
param:
    NAME                    { $$ = (struct tree_param){$1, NULL, NULL, @$}; }
  | NAME ':' type           { $$ = (struct tree_param){$1, $3, NULL, @$}; }
  | NAME '=' expr           { $$ = (struct tree_param){$1, NULL, $3, @$}; }
  | NAME ':' type '=' expr  { $$ = (struct tree_param){$1, $3, $5, @$}; }
  ;
result:
    %empty                  { $$ = NULL; }
  | ARROW type              { $$ = $2; }
  ;
body:
    block                   { $$ = tree_body(p, $1, NULL); }
  | '=' expr                { $$ = tree_body(p, NULL, $2); }
  ;
gradient:
    %empty                                        { $$ = NULL; }
  | GRADIENT '(' names ')' '=' expr               { $$ = tree_gradient(p, $3, NULL, $6, @$); }
  | GRADIENT '(' names ')' block                  { $$ = tree_gradient(p, $3, $5, NULL, @$); }
  ;
type:
    NAME                    { $$ = tree_type_named(p, $1.s, NULL, @$); }
  | FN                      { $$ = tree_type_named(p, intern(p->names, "fn"), NULL, @$); }
  | LAYER                   { $$ = tree_type_named(p, intern(p->names, "layer"), NULL, @$); }
  | NAME '[' dims ']'       { $$ = tree_type_named(p, $1.s, &$3, @$); }
  | '[' type ']'            { $$ = tree_type_list(p, $2, @$); }
  | '(' members ')'         { $$ = tree_type_tuple(p, $2, @$); }
  ;
dims:
    %empty                  { $$ = (struct tree_items){0}; }
  | dim_list
  ;
dim_list:
    dim                     { $$ = (struct tree_items){0}; TREE_PUSH(p, &$$, $1); }
  | dim_list ',' dim        { $$ = $1; TREE_PUSH(p, &$$, $3); }
  ;
dim:
    expr                    { $$ = tree_value_item($1, @$); }
  | ELLIPSIS NAME           { $$ = tree_spread_item(tree_name_expr(p, $2), @$); }
  ;
members:
    member ',' member       { $$ = (struct tree_params){0}; TREE_PUSH(p, &$$, $1);
                              TREE_PUSH(p, &$$, $3); }
  | members ',' member      { $$ = $1; TREE_PUSH(p, &$$, $3); }
  ;
member:
    type                    { $$ = (struct tree_param){{0}, $1, NULL, @$}; }
  | NAME ':' type           { $$ = (struct tree_param){$1, $3, NULL, @$}; }
  ;

/* ---- datasets ---- */
entries:
    %empty                          { $$ = (struct nn_entries){0}; }
  | entries NAME ':' type FROM expr END
      { $$ = $1; TREE_PUSH(p, &$$.fields, tree_field(p, $2, $4, $6, @2, @6)); }
  | entries NAME open sources '}' END
      { $$ = $1; TREE_PUSH(p, &$$.splits, tree_split($2, NULL, $4, @2, @5)); }
  | entries NAME '=' expr END
      { $$ = $1; TREE_PUSH(p, &$$.splits, tree_split($2, $4, (struct tree_fields){0}, @2, @4)); }
  | entries END
  | entries error END               { $$ = $1; yyerrok; nn_resync(p); }
  ;
sources:
    %empty                          { $$ = (struct tree_fields){0}; }
  | sources NAME FROM expr END      { $$ = $1; TREE_PUSH(p, &$$, tree_field(p, $2, NULL, $4, @2, @4)); }
  | sources END
  | sources error END               { $$ = $1; yyerrok; nn_resync(p); }
  ;

/* ---- statements ---- */
block:
    open stmts '}'          { $$ = tree_block_new(p, $2, @$); }
  ;
stmts:
    %empty                  { $$ = (struct tree_block){0}; }
  | stmts stmt END          { $$ = $1; tree_block_add(p, &$$, $2); }
  | stmts END
  | stmts error END         { $$ = $1; yyerrok; nn_resync(p); }
  | stmts IF error END      { $$ = $1; yyerrok; nn_resync(p); }
  | stmts FOR error END     { $$ = $1; yyerrok; nn_resync(p); }
  ;
stmt:
    names '=' rhs                     { $$ = tree_bind(p, $1, NULL, $3, @$); }
  | NAME ':' type '=' rhs             { $$ = tree_bind_one(p, $1, $3, $5, @$); }
  | NAME '[' items ']' '=' expr       { $$ = tree_set(p, $1, $3, $6, @$); }
  | rule '=' expr                     { $$ = tree_bind_one(p, $1, NULL, $3, @$); }
  | rule '[' items ']' '=' expr       { $$ = tree_set(p, $1, $3, $6, @$); }
  | METRIC NAME '=' expr              { $$ = tree_var(p, TREE_METRIC, $2, NULL, $4, @$); }
  | PARAM NAME ':' type '=' expr      { $$ = tree_var(p, TREE_PARAM, $2, $4, $6, @$); }
  | STATE NAME ':' type '=' expr      { $$ = tree_var(p, TREE_STATE, $2, $4, $6, @$); }
  | STATE NAME '=' expr               { $$ = tree_var(p, TREE_STATE, $2, NULL, $4, @$); }
  | RETURN exprs                      { $$ = tree_give(p, TREE_RETURN, tree_tuple(p, $2, @2), @$); }
  | YIELD exprs                       { $$ = tree_give(p, TREE_YIELD, tree_tuple(p, $2, @2), @$); }
  | IF expr block else                { $$ = tree_if(p, $2, $3, $4, @$); }
  | IF error block else               { $$ = NULL; }
  | FOR NAME IN expr block            { $$ = tree_for(p, $2, $4, $5, @$); }
  | FOR error block                   { $$ = NULL; }
  | CHECKPOINT block                  { $$ = tree_checkpoint(p, $2, @$); }
  | scan                              { $$ = tree_bind(p, (struct tree_names){0}, NULL, $1, @$); }
  ;
rule:
    OPTIMIZER                         { $$ = tree_word(p, "optimizer", @1); }
  ;
else:
    %empty                            { $$ = NULL; }
  | ELSE block                        { $$ = $2; }
  | ELSE IF expr block else           { $$ = tree_else_if(p, $3, $4, $5, @2, @$); }
  | ELSE IF error block else          { $$ = NULL; }
  ;
rhs:
    exprs                             { $$ = tree_tuple(p, $1, @$); }
  | scan
  ;
scan:
    SCAN NAME IN expr block           { $$ = tree_scan(p, $2, $4, $5, @$); }
  ;
exprs:
    expr                              { $$ = (struct tree_exprs){0}; TREE_PUSH(p, &$$, $1); }
  | exprs ',' expr                    { $$ = $1; TREE_PUSH(p, &$$, $3); }
  ;

/* ---- expressions, loosest first ---- */
expr:
    or_expr
  | expr PIPE or_expr                 { $$ = tree_binary(p, TREE_PIPE, $1, $3, @$, @2); }
  ;
or_expr:
    and_expr
  | or_expr OR and_expr               { $$ = tree_binary(p, TREE_OR, $1, $3, @$, @2); }
  ;
and_expr:
    not_expr
  | and_expr AND not_expr             { $$ = tree_binary(p, TREE_AND, $1, $3, @$, @2); }
  ;
not_expr:
    comparison
  | NOT not_expr                      { $$ = tree_unary(p, TREE_NOT, $2, @$); }
  ;
comparison:
    range
  | range COMPARE range               { $$ = tree_binary(p, $2, $1, $3, @$, @2); }
  ;
range:
    sum
  | sum DOTS sum                      { $$ = tree_binary(p, TREE_RANGE, $1, $3, @$, @2); }
  ;
sum:
    product
  | sum PLUS product                  { $$ = tree_binary(p, $2, $1, $3, @$, @2); }
  | sum MINUS product                 { $$ = tree_binary(p, $2, $1, $3, @$, @2); }
  ;
product:
    unary
  | product TIMES unary               { $$ = tree_binary(p, $2, $1, $3, @$, @2); }
  ;
unary:
    power
  | MINUS unary                       { $$ = tree_unary(p, TREE_NEG, $2, @$); }
  ;
power:
    postfix
  | postfix POWER unary               { $$ = tree_binary(p, TREE_POW, $1, $3, @$, @2); }
  ;
postfix:
    primary
  | postfix '(' ')'                   { $$ = tree_call(p, TREE_CALL, $1, NULL, @$); }
  | postfix '(' items ')'             { $$ = tree_call(p, TREE_CALL, $1, &$3, @$); }
  | postfix '(' items ',' ')'         { $$ = tree_call(p, TREE_CALL, $1, &$3, @$); }
  | postfix '(' items ':' expr ')'    { $$ = tree_index(p, $1, $3, $5, @$); }
  | postfix '[' subs ']'              { $$ = tree_call(p, TREE_SUBSCRIPT, $1, &$3, @$); }
  | postfix '.' NAME                  { $$ = tree_member(p, $1, $3, @$); }
  ;
primary:
    NAME                              { $$ = tree_name_expr(p, $1); }
  | INT                               { $$ = tree_int(p, TREE_INT, $1, @$); }
  | FLOAT                             { $$ = tree_float(p, $1, @$); }
  | STRING                            { $$ = tree_string(p, $1, @$); }
  | TRUE                              { $$ = tree_int(p, TREE_BOOL, 1, @$); }
  | FALSE                             { $$ = tree_int(p, TREE_BOOL, 0, @$); }
  | '(' expr ')'                      { $$ = $2; }
  | '(' expr ',' exprs ')'            { $$ = tree_tuple_of(p, $2, $4, @$); }
  | '[' ']'                           { $$ = tree_list(p, NULL, @$); }
  | '[' items ']'                     { $$ = tree_list(p, &$2, @$); }
  | '[' items ',' ']'                 { $$ = tree_list(p, &$2, @$); }
  | '[' items ':' expr ']'            { $$ = tree_index(p, NULL, $2, $4, @$); }
  | '[' expr FOR NAME IN expr ']'     { $$ = tree_each(p, $2, $4, $6, @$); }
  ;
items:
    item                              { $$ = (struct tree_items){0}; TREE_PUSH(p, &$$, $1); }
  | items ',' item                    { $$ = $1; TREE_PUSH(p, &$$, $3); }
  ;
item:
    expr                              { $$ = tree_value_item($1, @$); }
  | ELLIPSIS expr                     { $$ = tree_spread_item($2, @$); }
  | NAME '=' expr                     { $$ = tree_named_item($1, $3, @$); }
  ;
subs:
    sub                               { $$ = (struct tree_items){0}; TREE_PUSH(p, &$$, $1); }
  | subs ',' sub                      { $$ = $1; TREE_PUSH(p, &$$, $3); }
  ;
sub:
    expr                              { $$ = tree_value_item($1, @$); }
  | ELLIPSIS                          { $$ = (struct tree_item){.kind = TREE_ITEM_ELLIPSIS, .at = @$}; }
  | ELLIPSIS expr                     { $$ = tree_spread_item($2, @$); }
  | maybe ':' maybe                   { $$ = tree_slice($1, $3, NULL, @$); }
  | maybe ':' maybe ':' maybe         { $$ = tree_slice($1, $3, $5, @$); }
  ;
maybe:
    %empty                            { $$ = NULL; }
  | expr
  ;
%%

const char *nn_token_text(int kind) { return yysymbol_name(YYTRANSLATE(kind)); }

/* Bison asks for the message of a syntax error: parse.c words it from the tokens that would do. */
static int yyreport_syntax_error(const yypcontext_t *ctx, struct nn_parser *p)
{
    yysymbol_kind_t expected[YYNTOKENS];
    int kinds[YYNTOKENS], n = yypcontext_expected_tokens(ctx, expected, YYNTOKENS);
    for (int i = 0; i < n; i++)
        for (kinds[i] = 0; kinds[i] < 512 && YYTRANSLATE(kinds[i]) != expected[i];)
            kinds[i]++;
    nn_unexpected(p, kinds, n);
    return n < 0 ? n : 0;
}
