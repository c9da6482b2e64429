/** A label that may be broken after its own separators before it is broken anywhere. */

export function Breakable({ text }: { text: string }) {
  return <>{text.split(/(?<=[_/.:-])(?=\w)/u).flatMap((part, index) => (index === 0 ? [part] : [<wbr key={index} />, part]))}</>;
}
