// Of a comment with @typedef, typedoc takes what follows the name alone; ours say before it what the
// type is.
import { Comment, Converter } from 'typedoc';
import ts from 'typescript';

/** @param {import('typedoc').Application} app */
export function load(app) {
  app.converter.on(Converter.EVENT_CREATE_DECLARATION, (context, reflection) => {
    const tag = context.getSymbolFromReflection(reflection)?.declarations?.find(ts.isJSDocTypedefTag);
    const text = ts.getTextOfJSDocComment(tag?.parent.comment);
    if (!text) return;
    const after = reflection.comment?.summary ?? [];
    const before = { kind: 'text', text: after.length > 0 ? `${text}\n\n` : text };
    reflection.comment = new Comment([before, ...after]);
  });
}
