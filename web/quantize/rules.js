// Types by the names of tensors.

/**
 * What a part of a name has to look like; * and .* stand for any text.
 * @param {string} pattern as in ffn_down.*
 * @returns {RegExp}
 */
export function ruleFor(pattern) {
  const parts = pattern.split(/\.?\*/).map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'));
  return new RegExp(parts.join('.*'), 's');
}
