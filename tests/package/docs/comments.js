// Comments that typedoc overlooks.
import { Comment, Converter } from 'typedoc';
import ts from 'typescript';

/** @param {import('typedoc').Application} app */
export function load(app) {
  app.converter.on(Converter.EVENT_CREATE_DECLARATION, (context, reflection) => {
    const declarations = context.getSymbolFromReflection(reflection)?.declarations ?? [];
    const text = declarations.map((node) => textOf(node, context.checker)).find(Boolean);
    if (!text) return;
    const after = reflection.comment?.summary ?? [];
    const before = { kind: 'text', text: after.length > 0 ? `${text}\n\n` : text };
    reflection.comment = new Comment([before, ...after]);
  });
}

/** @param {ts.Declaration} node @param {ts.TypeChecker} checker */
function textOf(node, checker) {
  // It takes what follows the name of a @typedef; ours say before it what the type is.
  if (ts.isJSDocTypedefTag(node)) return ts.getTextOfJSDocComment(node.parent.comment);
  // A function that is a property of an object says what it does where it is defined.
  const symbol = ts.isShorthandPropertyAssignment(node)
    ? checker.getShorthandAssignmentValueSymbol(node)
    : ts.isPropertyAssignment(node) && checker.getSymbolAtLocation(node.initializer);
  const target = symbol && symbol.declarations?.find(ts.isFunctionDeclaration);
  return target && ts.getTextOfJSDocComment(ts.getJSDocCommentsAndTags(target)[0]?.comment);
}
